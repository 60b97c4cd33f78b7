/** Texts of replies about our address: blocklists, bad names, bans. Part of bounce-texts.ts. */

import type { BounceRule } from "./bounce-rule.ts";
import { text } from "./bounce-text.ts";
import { FROM_YOUR_HOST, REFUSED, YOUR_HOST } from "./bounce-words.ts";

/** Words that a provider has for one thing only, and that stand beside words of other meanings. */
export const ADDRESS_CODES: readonly BounceRule[] = [
  text(
    {
      id: "address-banned",
      action: "defer",
      category: "blacklist",
      status: "7.1",
      message: "The receiving server has banned our address for a while.",
    },
    `unsolicitediperror | mail sent from your ip address has been blocked | to request removal from this list
     rtr bl | rtr du | hl rep | hl ipb | hl mep | hl ihu | dt rbl | wm bli | black ip | bad ip | ip in prison | spam ip
     suspected bounce attacks | too many (spam/spams/complaints) .. from your | rly b1 | rly b2 | rly b3
     (client host/client) ipaddr blocked by recipient | customer block list
     (this/your) (ip/ip address/ipaddr) has been .. (blocked/banned)
     dynamic (ip/address/pool) | dynamically assigned | dialup | dial up | residential`,
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
];

export const REPUTATION: readonly BounceRule[] = [
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
     mauvaise réputation | dynamic reputation | reputation of the connecting | reputation of your ip | reputation of your server
     reputation of the server | reputation of the client
     liste noire | zwarte lijst | czarna lista | czarnej liscie | svart lista | kara liste | lista negra | schwarze liste
     schwarzen liste | черном списке | reputation score | negative reputation | reputation block
     s3140 | s3150 | fblw15 | banned sending ip | bl21 | bl22 | bl23 | bl000000 | bl000001 | bl000010 | bl000011 | bl000100 | bl000101
     bl000110 | bl000111 | es000001 | es000010
     aup (cxbl/cdrbl) | ipbl0001 | ipbl0010 | ipbl0011 | ipbl0100 | ipbl0101 | ipbl0110 | ipbl0111 | ipbl1000 | aup bl | mi ipb
     ipaddr temporarily banned | ipaddr .. (temporarily/been) blocked
     your (ip/ips/ip address/ipaddr/server/mail server/host/network) (is/was) .. (blocked/banned/refused)
     your (server/mail server/host/network) has been .. (blocked/banned/refused)
     (not accept/not take/not want/not trust/refuse/reject/block) (mail/email/emails/connections/traffic/messages) from
     tosa | ip ipaddr a problem occurred | ask your postmaster for help or to contact | no smtp service
     bad (history/karma/standing/neighbourhood/neighborhood) | (low/poor/no/negative/insufficient) (trust/karma)
     trust (score/level/rating) | on probation | botnet | spambot | zombie | spamtrap | spamtraps | spam trap | spam traps | honeypot
     (naughty/ban/abuse/abusers/spammers/drop/reject) list | ip in dul | in the dul | (an/insecure) (open relay/open proxy/mail relay)
     ers (customized block/rbl/qil/dul)`,
  ),
];

/** Words of many replies: they are read after those of the mail, since a false block of our address costs more than a bounce. */
export const HOST: readonly BounceRule[] = [
  text(
    {
      id: "host-refused",
      action: "defer",
      category: "blacklist",
      status: "7.1",
      message: "The receiving server does not take mail from our address.",
    },
    `${YOUR_HOST} .. ${REFUSED} | ${FROM_YOUR_HOST} | (blocked/block/banned/refused/rejected) your (ip/server/host/network/mail server)
     (connections/connection/mail/email/traffic) (not accepted/not allowed/refused/rejected/blocked/denied) from
     (connections/connection/mail/email/traffic) (is/are) (refused/blocked) from | (to/with) your address space
     from this ip | ip (in whitelist/not in whitelist) | ip .. not whitelisted | sending ip has | network range | allowed to connect
     ip (blocked/denied/rejected/banned) | ip is (blocked/denied/rejected/banned/listed/on) | ip temporarily (blocked/banned)
     ip .. (is/has been) blocked
     spam source ipaddr | ipaddr is (on/in) | penalty (list/box) | ipaddr (listed/blocked/banned/is blocked/is banned/is listed)
     (refused from/policy matched for) ipaddr | policy .. ip based | listed (on/in/at/by) .. ipaddr
     from ipaddr (refused/rejected/weren t sent) | (client/host) ipaddr (rejected/refused)
     mail server .. has been blocked | host .. has been blocked | not accept connections | connection rejected by policy
     permanent failure for one or more recipients .. blocked | blocked for abuse | block for spam | bulk abuse ip
     ont ete bloques par nos services
     (smtp/mail) (server/relay) of your (isp/provider) | your (isp/provider) s (smtp/mail) (server/relay)`,
  ),
];
