/**
 * Texts of replies that are clear whatever the code is, gathered from what large providers, filter appliances and mail servers
 * say. The order is from the rare and certain to the common, since one text often has the words of several.
 */

import type { BounceRule } from "./bounce-rule.ts";
import { text } from "./bounce-text.ts";

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
     postgrey | milter greylist | grey rbl | gl01 | deferred for .. seconds .. try again | first attempt .. try again`,
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
     too many emails | too many mail | too many transactions | too much mail | too many .. from your | too many .. per connection
     concurrent connections | concurrent connection | connection limit* | connections limit | maximum number of connections
     connections exceeded | session limit | hourly limit | daily limit | recipients received | recipients .. hour | recipients per day | limit of messages | message limit exceeded
     sending limit | sending quota | frequency limited | frequency limit | over frequency | send limit exceeded | aup mxrt
     emails per hour | mails per hour | messages per hour | emails per day | messages per day | trop de connexions | trop de messages
     unusual rate of | unusual amount of | unusual volume | unexpected volume | unsolicitedratelimiterror
     rp 001 | rp 002 | rp 003 | dyn t1 | dyn t2 | rl000001
     tss01 | tss02 | tss04 | tss05 | tss06 | tss07 | tss08 | tss09 | tss10 | tss11 | ts01 | ts02 | ts04
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
];

const DANGER: readonly BounceRule[] = [
  text(
    {
      id: "virus",
      category: "virus",
      status: "7.0",
      message: "The receiving server found a virus or an attachment that it thinks dangerous.",
    },
    `virus | viruses | infected | malware | trojan | worm detected | suspicious attachment | dangerous attachment
     presents a potential security | potentially executable | executable attachment | attachment .. not allowed | attachment .. blocked
     attachment .. prohibited | attachment type | file type .. not allowed | blocked file | banned file | blockedmessage`,
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
     link .. blocked | hvu b1 | hvu b2 | spammy url`,
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
     spamming | antispam | anti spam | antispamcloud | notspam support | dt spm | ofr 506 | ofr 519
     unsolicited | unsolicitedmessageerror | bulk mail | junk mail | junk email | phishing | phish | scam
     content filter* | content rejected | content denied | content blocked | content .. not acceptable | message content .. reject* | blocked by content
     rejected by content | rejected due to content | likely suspicious`,
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
    `sender address blacklisted | sender blacklisted | sender is blacklisted | sender domain .. blacklist* | sender .. blocklisted
     sender is blocked | sender blocked | blocked sender | blocked senders | banned sender | sender banned | sender is banned
     sender .. is on .. block list | blocked by recipient | blocked by the recipient | blocked by user | rejected by recipient
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
     sender address .. not exist | sender not found | sender address .. invalid | domain of sender | sender s domain .. not
     envelope sender | mail from .. rejected | mail from .. not allowed | mail from domain | return path .. invalid
     sender nonexistent | sender not exist | from address .. not exist`,
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
     reputation score | negative reputation | reputation block
     s3140 | s3150 | fblw15 | banned sending ip | bl21 | bl22 | bl23 | bl000000 | bl000001 | bl000010 | aup bl | mi ipb
     accept mail from your ip | accept mail from your server | accept mail from your host | mail from your ip
     not accept mail from | not accept email from | not accept connections | you are not allowed to connect | not allowed to connect | no smtp service | tosa | ask your postmaster for help or to contact
     blocked for abuse | block for spam | permanent failure for one or more recipients .. blocked
     your ip .. blocked | your ip .. rejected | your ip .. denied | your ip .. listed | your ip .. banned | your ip address .. block*
     ip .. is blocked | ip .. has been blocked | ip address .. blocked | ip address .. rejected | ip blocked | ip denied | ip rejected
     ip .. not allowed | ip address is not | from your ip | from this ip | adresse ip .. blacklist* | adresse ip .. bloquee | your host .. blocked | your server .. blocked | your network .. blocked
     your mail server .. blocked | mail server .. has been blocked | host .. has been blocked | connection .. blacklist*
     dynamic ip | dynamic address | dynamically assigned | dialup | dial up | residential | dynamic pool`,
  ),
];

const RECIPIENT: readonly BounceRule[] = [
  text(
    {
      id: "mailbox-full",
      category: "capacity",
      status: "2.2",
      message: "The recipient's mailbox is full.",
    },
    `postfach voll | postfach ist voll | zuviele mails | boite .. pleine | boîte .. pleine | buzón lleno | buzon lleno | casella piena
     mailbox full | mailbox is full | mailbox .. is full | mailbox .. full | inbox is full | inbox full | inbox .. full | account is full
     over quota | overquota | overquotatemp | overquotaperm | over the quota | over its quota | over disk quota | quota exceed* | quota full
     quota limit | quota has been exceeded | quota is exceeded | exceeds .. quota | exceeded .. quota | disk quota
     storage quota | mailbox quota | out of storage | storage space | storage allocation | exceeded storage | mailbox size
     mailbox .. exceeded | not enough space .. mailbox | insufficient space in mailbox | mailbox space | user is over | maildir over
     mail quota | mailbox over`,
  ),
  text(
    {
      id: "no-such-recipient",
      category: "recipient",
      status: "1.1",
      message: "The recipient's address does not exist.",
    },
    `user unknown | user is unknown | user .. unknown | unknown user | users unknown | unknown local | unknown local part | unknown recipient
     unknown mailbox | unknown address | unknown account | unknown or illegal | unknown virtual
     no such user | nosuchuser | no such mailbox | no such recipient | no such address | no such person | no such account | no such local
     no such domain | no such alias | no user | no mailbox | no account | no recipient | no local mailbox | no valid recipients
     recipient unknown | recipient not found | recipientnotfound | recipient .. not found | recipient .. not exist | recipient .. unknown
     recipient address .. unknown | recipient invalid | recipient .. invalid | recipient no longer | recipient does not | not a valid recipient
     recipient not exist | recipients not exist
     invalid recipient | invalid recipients | invalid mailbox | invalid user | invalid address | invalid account | invalid final delivery
     bad destination | bad recipient | bad address | bad email address | bad mailbox | incorrect recipient | illegal recipient
     user not found | user does not | user doesn t | user .. does not exist | user .. doesn t exist | user not exist | user .. not found
     user not known | not a known user | user is not found | user invalid | user no longer
     mailbox not found | mailbox does not | mailbox doesn t | mailbox .. does not exist | mailbox .. not found | mailbox unknown
     mailbox not exist | mailbox .. not exist | mailbox invalid | mailbox not available | mailbox for .. does not exist | not a valid mailbox
     account not found | account does not | account doesn t | account .. does not exist | account .. doesn t exist | account not exist
     account .. not found | account that you tried to reach does not exist | does not have an account | doesn t have a | account unknown
     address unknown | address not found | address does not | address doesn t | address .. does not exist | address .. unknown
     address no longer | address not known | address is not valid | address is invalid | address not present | address .. not found
     unrouteable address | unroutable address | unroutable mail | undeliverable address | not our customer | not our user
     addressee unknown | not listed in .. directory | not found in directory | can t find any user
     unbekannter empfänger | unbekannter empfaenger | empfänger unbekannt | empfaenger unbekannt | benutzer unbekannt
     utilisateur inconnu | destinataire inconnu | adresse inconnue | usuario desconocido | usuario no existe | utente sconosciuto
     resolver adr | recipient cannot be verified | user has moved | recipient has moved | delivery to the following recipient* .. does not exist | recipient address rejected access denied | recipient addresses rejected access denied`,
  ),
  text(
    {
      id: "mailbox-disabled",
      category: "recipient",
      status: "2.1",
      message: "The recipient's mailbox is closed or takes no mail.",
    },
    `mailbox disabled | mailbox is disabled | mailbox .. disabled | mailbox inactive | mailbox is inactive | mailbox closed | mailbox suspended
     mailbox .. suspended | mailbox locked | mailbox is locked | mailbox blocked | mailbox is blocked | mailbox .. deactivated
     account disabled | account is disabled | account .. disabled | account has been disabled | account inactive | account is inactive
     account .. inactive | account suspended | account .. suspended | account .. deactivated | account closed | account .. locked
     account expired | account is not active | account not active | account .. discontinued | account .. terminated | account blocked
     account that you tried to reach is disabled | account that you tried to reach is inactive | disabled user | disableduser
     disabled recipient | user disabled | user is disabled | user suspended | user .. suspended | deactivated mailbox | mailbox deactivated | user inactive | user terminated | account terminated | user is inactive
     inactive user | inactive account | inactive mailbox | inactive recipient | address .. inactive | user .. disabled | no longer active
     no longer available | no longer valid | no longer in use | no longer exists | no longer works | no longer accept*
     not accepting mail | not accepting messages | not accept mail | does not accept mail | does not accept email | doesn t accept mail
     doesn t accept email | does not receive mail | cannot receive mail | cannot receive messages | not allowed to receive`,
  ),
  text(
    {
      id: "no-such-domain",
      category: "recipient",
      status: "1.2",
      message: "The recipient's domain does not exist, or is not at this server.",
    },
    `domain not found | domain does not exist | domain doesn t exist | unknown domain | domain unknown | invalid domain | bad domain
     domain not exist | no such host | host unknown | host not found | unrouteable domain | unroutable domain | domain .. not hosted
     domain is not hosted | domain disabled | domain .. disabled | domain suspended | not a hosted domain | not a local domain`,
  ),
  text(
    {
      id: "relaying-denied",
      category: "config",
      status: "7.1",
      message: "The receiving server does not take mail for the recipient's domain.",
    },
    `relaying denied | relay denied | relay access denied | relaying not allowed | relay not permitted | relaying not permitted
     relay not allowed | relay is not allowed | not permitted to relay | unable to relay | cannot relay | no relay | no relaying | not relaying
     relaying prohibited | relaying .. disallowed | relaying disallowed | we do not relay | we don t relay | not allowed to relay
     list of allowed rcpthosts | rcpthosts | relay prohibited | relaying is prohibited | tenantattribution | open relay | not a gateway`,
  ),
];

const SIZE_AND_LOOPS: readonly BounceRule[] = [
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
];
