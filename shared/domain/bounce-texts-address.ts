/** Texts of replies about our address: blocklists, bad names, bans. Part of bounce-texts.ts. */

import type { BounceRule } from "./bounce-rule.ts";
import { text } from "./bounce-text.ts";

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
