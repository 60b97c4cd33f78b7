/** Texts of replies about who we are: logins, signatures, names, sender addresses, TLS. Part of bounce-texts.ts. */

import type { BounceRule } from "./bounce-rule.ts";
import { text } from "./bounce-text.ts";

export const AUTHENTICATION: readonly BounceRule[] = [
  text(
    {
      id: "dmarc",
      category: "dmarc",
      status: "7.1",
      message: "The message fails the DMARC policy of the sender's domain.",
    },
    `dmarc`,
  ),
  text(
    {
      id: "authentication",
      category: "auth",
      status: "7.26",
      message: "The receiving server could not verify the sender by SPF or DKIM.",
    },
    `spf | openspf | sender policy framework | dkim | domainkeys | sender id | unauthenticated | message is not authenticated
     authentication checks | pass authentication | sender authentication | senderid | mi spf | unauthenticated email
     required authentication level | email authentication`,
  ),
  text(
    {
      id: "login",
      category: "auth",
      status: "7.8",
      message: "The receiving server did not accept our login.",
    },
    `authentication failed | authentication failure | authentication credentials invalid | bad credentials | invalid login
     username and password not accepted | bad username or password | authentication unsuccessful`,
  ),
  text(
    {
      id: "login-needed",
      category: "auth",
      status: "7.0",
      message: "The receiving server asks for a login first.",
      codes: [530], // beside other codes it explains why something else was refused
    },
    `authentication required | authentication is required | auth required | auth is required`,
  ),
  text(
    {
      id: "reverse-dns",
      category: "config",
      status: "7.25",
      message: "Our address has no valid reverse DNS name, or one that does not fit.",
    },
    `reverse dns | reverse lookup | reverse hostname | reverse host | reverse name | reverse mapping | reverse address | reverse record
     rdns | ptr record | ptr records | ptr resource | dns ptr | no ptr | missing ptr | invalid ptr | ptr lookup | rtr rd | dns nr
     cannot find your hostname | fcrdns | name does not match ip | forward confirmed | iprev | cannot resolve your address`,
  ),
  text(
    {
      id: "helo",
      category: "config",
      status: "7.1",
      message: "The receiving server does not accept the name we gave in EHLO.",
    },
    `helo command rejected | ehlo command rejected | invalid helo | invalid ehlo | bad helo | bad ehlo | helo .. does not resolve
     helo .. rejected | ehlo .. rejected | helo name | ehlo name | forged helo | helo hostname | heloname`,
  ),
];

export const BLOCKED_SENDER: readonly BounceRule[] = [
  text(
    {
      id: "sender-blocked",
      category: "block",
      status: "7.1",
      message: "The recipient or the receiving server has blocked the sender's address.",
    },
    `tenant allow block list | sender address blacklisted | sender blacklisted | sender is blacklisted | sender domain .. blacklist*
     sender .. blocklisted
     sender is blocked | sender blocked | blocked sender | blocked senders | banned sender | sender banned | sender is banned
     sender .. is on .. block list | on the recipient s block | on the recipient s deny | on the user s block | blocked by recipient
     blocked by the recipient | blocked by user | rejected by recipient
     rejected by the recipient | refused by recipient | refused by the recipient | recipient has blocked | recipient .. refuses
     administrative prohibition | administrative prohibit* | administratively prohibited | administratively denied
     envelope blocked | manually blocked | not accept mail from you | (recipient/user) .. not want (your/mail/any)
     not accept mail from this sender | not accept mail from sender
     (accept/accepts/receive/receives) (mail/email/messages) from (outside/external/internal/members/unknown/anonymous/the internet)
     (sender/user/recipient/sender address/from address) (on/in/is on/is in) .. (blocklist/block list/blacklist/denylist/deny list)
     (sender/user/recipient) (listed on/found on/found in) .. (blocklist/block list/blacklist/denylist/deny list)
     sender domain (on/in/is in/listed on/found on/found in) .. (blocklist/block list/blacklist/denylist/deny list)
     (organisation/organization/company/recipient/user/domain) s (blocklist/block list/blacklist/denylist/deny list)
     not in the allowed senders | allowed senders list | only accepts mail from
     sendernotauthenticatedforgroup | not authorized to send .. to this | not allowed to send to this`,
  ),
];

export const SENDER: readonly BounceRule[] = [
  text(
    {
      id: "bad-sender",
      category: "sender",
      status: "1.8",
      message: "The receiving server does not accept the sender's address.",
    },
    `sender address rejected | sender rejected | sender denied | sender refused | sender unknown | unknown sender | invalid sender
     bad sender | sender verify | sender verification | verify sender | sender not verified | sender does not exist | sender domain
     sender address .. not exist | sender not found | sender address .. invalid | sender address does not | domain of sender
     sender s domain .. not
     envelope sender | mail from .. rejected | mail from .. not allowed | mail from domain | return path .. invalid
     email address is not verified | sender nonexistent | sender not exist | from address .. not exist`,
  ),
];

export const SAFE_CONNECTION: readonly BounceRule[] = [
  text(
    {
      id: "tls-needed",
      action: "defer", // we use TLS wherever it is offered: it failed just now
      category: "policy",
      status: "7.10",
      message: "The receiving server takes mail only over TLS.",
    },
    `starttls command first | starttls first | starttls is required | starttls required | tls required | tls is required | requires tls
     requires encryption | encryption required | encryption needed | must use tls | tls encryption is required | session encryption
     not tls encrypted`,
  ),
];
