/**
 * Texts of replies that are clear whatever the code is, gathered from what large providers, filter appliances and mail servers
 * say. The order is from the rare and certain to the common, since one text often has the words of several. What is about the
 * recipient is in bounce-texts-recipient.ts.
 */

import type { BounceRule } from "./bounce-rule.ts";
import { text } from "./bounce-text.ts";
import { RECIPIENT } from "./bounce-texts-recipient.ts";

/** Words that a provider has for one thing only, and that stand beside words of other meanings. */
const OF_ONE_PROVIDER: readonly BounceRule[] = [
  text(
    {
      id: "address-banned",
      action: "defer",
      category: "blacklist",
      status: "7.1",
      message: "The receiving server has banned our address for a while.",
    },
    `unsolicitediperror | mail sent from your ip address has been blocked | to request removal from this list
     rtr bl | rly b1 | rly b2 | rly b3`,
  ),
  text(
    {
      id: "blocklist-query-refused",
      action: "defer",
      category: "config",
      status: "3.5",
      message: "The receiving server may not ask its blocklist, so the answer says nothing of our address.",
    },
    `open resolver | public resolver | query refused .. resolver | excessive number of queries | excessive queries | typing error in dnsbl
     dnsbl .. quota exceeded | rbl .. quota exceeded`,
  ),
  text(
    {
      id: "given-up-behind",
      category: "network",
      status: "4.7",
      message: "The receiving server has given up after many tries of its own.",
      codes: [550, 554],
    },
    `retry timeout exceeded | failing for a long time | retry time not reached`,
  ),
  text(
    {
      id: "account-or-domain-missing",
      category: "recipient",
      status: "1.1",
      message: "The receiving server knows no such account or domain.",
    },
    `account or domain may not exist`,
  ),
  text(
    {
      id: "spam-verdict",
      category: "spam",
      status: "7.1",
      message: "The receiving server takes the message for spam.",
    },
    `spam message rejected`,
  ),
];

const PACE: readonly BounceRule[] = [
  text(
    {
      id: "greylisted",
      action: "defer",
      category: "greylist",
      status: "7.1",
      message: "The receiving server asks unknown senders to try again later (greylisting).",
    },
    `greylist | greylisted | greylisting | graylist | graylisted | graylisting | grey listed | gray listed | grey listing
     postgrey | milter greylist | grey rbl | gl01 | not yet authorized to deliver mail | deferred for .. seconds .. try again | first attempt .. try again
     first contact | triplet | not seen this sender | sender recipient pair | deferred for .. seconds`,
  ),
  text(
    {
      id: "receiving-rate",
      action: "slowdown",
      category: "rate",
      status: "2.1",
      message: "The recipient gets more mail than the receiving server allows.",
    },
    `receiving mail at a rate | receiving mail too quickly | receivingrate | receivingrateperm
     recipient .. receive limit exceeded | recipient .. message rate`,
  ),
  text(
    {
      id: "yahoo-permanent-deferral",
      action: "defer",
      category: "blacklist",
      status: "7.1",
      message: "The receiving server does not take mail from our address.",
    },
    `permanently deferred | ts03 | tss03`,
  ),
  text(
    {
      id: "rate-limited",
      action: "slowdown",
      category: "rate",
      status: "7.1",
      message: "The receiving server wants mail from us more slowly.",
    },
    `rate limit* | ratelimit | ratelimiting | ratelimited | rate exceeded | rate is too high | rate too high | too high rate | throttled | throttling
     slow down | too fast | too quickly | connection rate | message rate | sending rate
     too many connections | too many concurrent | too many simultaneous | too many sessions | too many messages | too many mails
     too many emails | too many mail | too many transactions | too much mail | too much volume | quota for messages | too many .. from your | too many .. per connection
     concurrent connections | concurrent connection | connection limit* | connections limit | maximum number of connections | maximum connections
     concurrent server connections | maximum number of concurrent | connections exceeded | session limit | hourly limit | daily limit | recipients received | recipients .. hour | recipients per day | limit of messages | message limit exceeded
     sending limit | sending quota | hourly quota | daily quota | quota for this sender | connection frequency | number of messages allowed
     exceeded the number of messages | sending faster | per hour limit | per minute limit | per day limit | hour limit | you send more than | your quota of | frequency limited | frequency limit | over frequency | send limit exceeded | aup mxrt
     emails per hour | mails per hour | messages per hour | emails per day | messages per day | trop de connexions | trop de messages
     unusual rate of | unusual amount of | unusual volume | unexpected volume | unsolicitedratelimiterror
     rp 001 | rp 002 | rp 003 | dyn t1 | dyn t2 | rl000001
     tss01 | tss02 | tss04 | tss05 | tss06 | tss07 | tss08 | tss09 | tss10 | tss11 | ts01 | ts02 | ts04
     too many letters | sent by the same ip exceed* | emails .. exceeds the limit | messages .. exceeds the limit | mi sfq | mi dmc | mi cel
     rp cel | rp rcl | rp qrc | rp trc | rp csl | ofr004 .. 104 | ofr005 .. 104 | ofr004 .. 105`,
  ),
  text(
    {
      id: "too-many-recipients",
      action: "defer",
      category: "protocol",
      status: "5.3",
      message: "Too many recipients in one transaction.", // RFC 5321 §4.5.3.1.10: the rest is sent in another
    },
    `too many recipients | too many rcpt*`,
  ),
  text(
    {
      id: "too-many-errors",
      action: "defer",
      category: "protocol",
      status: "7.0",
      message: "The receiving server saw too many errors from us in a short time.", // so it says nothing of this recipient
      codes: [550, 554], // 4yz says so by itself
    },
    `too many errors | too many invalid recipients | too many unknown recipients | too many bad recipients | too many unknown users`,
  ),
];

const DANGER: readonly BounceRule[] = [
  text(
    {
      id: "virus",
      category: "virus",
      status: "7.0",
      message: "The receiving server found a virus or an attachment that it thinks dangerous.",
    },
    `virus | viruses | eicar | infected | malware | trojan | worm detected | suspicious attachment | dangerous attachment
     presents a potential security | potentially executable | executable attachment | attachment .. not allowed | attachment .. blocked
     attachment .. prohibited | attachment type | file type .. not allowed | blocked file | banned attachment | banned file | blockedmessage`,
  ),
  text(
    {
      id: "domain-reputation",
      category: "spam",
      status: "7.1",
      message: "A domain in the message has a bad name with the receiving server.",
    },
    `dbl spamhaus | spamhaus dbl | spamhaus org query dbl | spamhaus org query domain | url .. listed | your domain .. blacklist*
     your domain .. blocklist* | your domain .. listed | your domain .. blocked | banned url | blocked url | uribl | surbl | url .. blacklist* | url .. blocked | uri .. blacklist* | blacklisted url | listed url
     reputation of the sending domain | reputation of .. domain in | domain .. bad reputation | domain reputation
     poor reputation sender domain | poor reputation domain | sender domain .. reputation | reputation of .. domain | link .. blocked | hvu b1 | hvu b2 | spammy url`,
  ),
];

const SPAM: readonly BounceRule[] = [
  text(
    {
      id: "spam",
      category: "spam",
      status: "7.1",
      message: "The receiving server takes the message for spam.",
    },
    `as spam | is spam | be spam | like spam | a spam | spam message | spam messages | spam content | spam detected | spam mail | spam email
     spam score | spam probability | spam filter* | spam rejected | spam found | spam verdict | spam like | spammy | spamassassin
     of spam | suspected spam | suspicion of spam | possible spam | probable spam | spam .. not accepted | spam is not
     spamming | antispam | anti spam | as junk | is junk | antispamcloud | notspam support | dt spm | ofr 506 | ofr 519
     unsolicited | unsolicitedmessageerror | bulk mail | junk mail | junk email | phishing | phish | scam
     content filter* | content rejected | content denied | content blocked | content .. not acceptable | message content .. reject* | blocked by content
     rejected by content | rejected due to content | likely suspicious | message filtered | classified as bulk`,
  ),
];

const AUTHENTICATION: readonly BounceRule[] = [
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

const BLOCKED_SENDER: readonly BounceRule[] = [
  text(
    {
      id: "sender-blocked",
      category: "block",
      status: "7.1",
      message: "The recipient or the receiving server has blocked the sender's address.",
    },
    `tenant allow block list | sender address blacklisted | sender blacklisted | sender is blacklisted | sender domain .. blacklist* | sender .. blocklisted
     sender is blocked | sender blocked | blocked sender | blocked senders | banned sender | sender banned | sender is banned
     sender .. is on .. block list | on the recipient s block | on the recipient s deny | on the user s block | blocked by recipient | blocked by the recipient | blocked by user | rejected by recipient
     rejected by the recipient | refused by recipient | refused by the recipient | recipient has blocked | recipient .. refuses
     administrative prohibition | administrative prohibit* | administratively prohibited | administratively denied
     envelope blocked | manually blocked | not accept mail from you | not accept mail from this sender | not accept mail from sender
     not in the allowed senders | allowed senders list | only accepts mail from
     sendernotauthenticatedforgroup | not authorized to send .. to this | not allowed to send to this`,
  ),
];

const SENDER: readonly BounceRule[] = [
  text(
    {
      id: "bad-sender",
      category: "sender",
      status: "1.8",
      message: "The receiving server does not accept the sender's address.",
    },
    `sender address rejected | sender rejected | sender denied | sender refused | sender unknown | unknown sender | invalid sender
     bad sender | sender verify | sender verification | verify sender | sender not verified | sender does not exist | sender domain
     sender address .. not exist | sender not found | sender address .. invalid | sender address does not | domain of sender | sender s domain .. not
     envelope sender | mail from .. rejected | mail from .. not allowed | mail from domain | return path .. invalid
     email address is not verified | sender nonexistent | sender not exist | from address .. not exist`,
  ),
];

const REPUTATION: readonly BounceRule[] = [
  text(
    {
      id: "ip-blocklisted",
      action: "defer",
      category: "blacklist",
      status: "7.1",
      message: "Our address is on a blocklist or has a bad name with the receiving server.",
    },
    `spamhaus | spamcop | barracudacentral | barracuda reputation | sorbs | uceprotect | psbl | mailspike | backscatterer | spamrats
     invaluement | senderscore | abuseat | cbl | dnsbl | rbl | rbls | dnsrbl | hostkarma | blocklist de | gbudb | nixspam | manitu
     wpbl | dronebl | spfbl | nszones | junkemailfilter | lashback | trustedsource | talosintelligence | senderbase | sbrs
     csi cloudmark | cloudmark .. reset | dnsbl lookup | ipcheck proofpoint | mail abuse com | ers trendmicro | fortiguard
     blacklist | blacklists | blacklisted | blacklisting | black list | black listed | blocklist | blocklists | blocklisted | block list
     block listed | blocked list | denylist | deny list | denylisted | blocked using | client host .. blocked | client host .. rejected
     poor reputation | bad reputation | low reputation | ip reputation | reputation of the sending ip | sender reputation
     mauvaise réputation | mauvaise reputation | dynamic reputation | reputation of the connecting | reputation of your ip | reputation of your server | reputation of the server | reputation of the client
     liste noire | lista negra | schwarze liste | schwarzen liste | черном списке | чёрном списке | reputation score | negative reputation | reputation block
     s3140 | s3150 | fblw15 | banned sending ip | bl21 | bl22 | bl23 | bl000000 | bl000001 | bl000010 | aup bl | mi ipb
     accept mail from your ip | accept mail from your server | accept mail from your host | mail from your ip
     not accept mail from | not accept email from | not accept connections | you are not allowed to connect | not allowed to connect | no smtp service | tosa | ask your postmaster for help or to contact
     blocked for abuse | block for spam | connection rejected by policy
     permanent failure for one or more recipients .. blocked
     your ip .. blocked | your ip .. rejected | your ip .. denied | your ip .. listed | your ip .. banned | your ip address .. block*
     ip .. is blocked | ip .. has been blocked | ip address .. blocked | ip address .. rejected | ip blocked | ip denied | ip rejected
     ip is rejected | ip is denied | ip is listed | ip is banned | ip is on | bulk abuse ip | spam .. your address space | your address space .. blocked | ip адрес .. заблокирован | ipv4 temporarily blocked | ipv4 has been temporarily blocked | ipv4 is temporarily blocked
     ip .. not allowed | ip address is not | from your ip | from this ip | ip not in whitelist | ip .. not whitelisted | from your network | network range | blocked your ip | sending ip has
     ipv4 listed | ipv4 is listed | ipv4 is blocked | ipv4 blocked | ipv4 has been blocked | ipv4 is banned | ipv4 banned | from ipv4 refused | from ipv4 weren t sent | from ipv4 rejected | adresse ip .. blacklist* | adresse ip .. bloquee | your host .. blocked | your server .. blocked | your network .. blocked
     your mail server .. blocked | mail server .. has been blocked | host .. has been blocked | connection .. blacklist*
     ip in dul | in the dul | dynamic ip | dynamic address | dynamically assigned | dialup | dial up | residential | dynamic pool`,
  ),
];

const SIZE_AND_LOOPS: readonly BounceRule[] = [
  text(
    {
      id: "loop",
      category: "network",
      status: "4.6",
      message: "The receiving servers pass the mail in a circle.",
    },
    `mail loop | mail loops | loops back | routing loop | loop detected | too many hops | hop count | hops exceeded | delivery loop
     too many received | message looping | is looping`,
  ),
  text(
    {
      id: "message-too-large",
      category: "message",
      status: "3.4",
      message: "The message is too large for the receiving server.",
    },
    `message too large | message is too large | message too big | message is too big | message size | message file too big | mail too large
     message exceed* | message .. exceeds .. size | mail size | size limit | maximum size | max size | maximum message size
     too large message | message length exceed* | exceeds maximum size | exceeded size | email size`,
  ),
];

const SAFE_CONNECTION: readonly BounceRule[] = [
  text(
    {
      id: "tls-needed",
      action: "defer", // we use TLS wherever it is offered: it failed just now
      category: "policy",
      status: "7.10",
      message: "The receiving server takes mail only over TLS.",
    },
    `starttls command first | starttls first | starttls is required | starttls required | tls required | tls is required | requires tls
     requires encryption | encryption required | encryption needed | must use tls | tls encryption is required | session encryption | not tls encrypted`,
  ),
];

/** Words that are clearer than the enhanced code that some servers put beside them. */
const OVER_A_VAGUE_CODE: readonly BounceRule[] = [
  text(
    {
      id: "congested-without-space",
      action: "defer",
      category: "capacity",
      status: "3.1",
      message: "The receiving server has no space left.",
      enhanced: ["4.5"],
    },
    `insufficient disk | insufficient storage | insufficient system storage | disk space | disk full | no space left`,
  ),
  text(
    {
      id: "system-trouble-now",
      action: "defer",
      category: "other",
      status: "3.0",
      message: "The receiving server has trouble of its own just now.",
      codes: [550, 554], // 4yz says so by itself
      enhanced: ["3.2", "3.5"],
    },
    `try again | retry later | please retry | try later`,
  ),
];

export const TEXT_RULES: readonly BounceRule[] = [
  ...OF_ONE_PROVIDER,
  ...PACE,
  ...DANGER,
  ...AUTHENTICATION,
  ...BLOCKED_SENDER,
  ...REPUTATION, // before the texts that have its words too: "mail from 192.0.2.1 rejected, see spamhaus"
  ...SPAM,
  ...SENDER,
  ...RECIPIENT,
  ...SIZE_AND_LOOPS,
  ...SAFE_CONNECTION,
  ...OVER_A_VAGUE_CODE,
];
