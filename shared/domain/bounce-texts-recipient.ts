/** Texts of replies about the recipient: no such mailbox, a full or closed one, a domain that is not served. Part of bounce-texts.ts. */

import type { BounceRule } from "./bounce-rule.ts";
import { text } from "./bounce-text.ts";

export const RECIPIENT: readonly BounceRule[] = [
  text(
    {
      id: "mailbox-full",
      category: "capacity",
      status: "2.2",
      message: "The recipient's mailbox is full.",
    },
    `postfach voll | postfach ist voll | zuviele mails | boîte .. pleine | buzón lleno | casella piena
     mailbox full | mailbox is full | mailbox .. is full | mailbox .. full | inbox is full | inbox full | inbox .. full | account is full
     over quota | overquota | overquotatemp | overquotaperm | over the quota | over its quota | over disk quota | quota exceed* | quota full
     quota limit | quota has been exceeded | quota is exceeded | exceeds .. quota | exceeded .. quota | disk quota
     storage quota | mailbox quota | out of storage | storage space | storage allocation | exceeded storage | mailbox size
     mailbox .. (exceeded/exceeds) | not enough space .. mailbox | insufficient space in mailbox | mailbox space | user is over
     maildir over
     mail quota | mailbox over`,
  ),
  text(
    {
      id: "no-such-recipient",
      category: "recipient",
      status: "1.1",
      message: "The recipient's address does not exist.",
    },
    `user unknown | user is unknown | user .. unknown | unknown user | users unknown | unknown local | unknown local part
     unknown recipient
     unknown mailbox | unknown address | unknown account | unknown or illegal | unknown virtual
     no such user | nosuchuser | no such mailbox | no such recipient | no such address | no such person | no such account | no such local
     no such domain | no such alias | no user | no mailbox | no account | no recipient | no local mailbox | no valid recipients
     recipient unknown | recipient not found | recipientnotfound | recipient .. not found | recipient .. not exist | recipient .. unknown
     recipient address .. unknown | recipient invalid | recipient .. invalid | recipient no longer | recipient does not
     not a valid recipient
     recipient not exist | recipients not exist
     invalid recipient | invalid recipients | invalid mailbox | invalid user | invalid address | invalid account | invalid final delivery
     bad destination | bad recipient | bad address | bad email address | bad mailbox | incorrect recipient | illegal recipient
     user not found | user does not | user doesn t | user .. does not exist | user .. doesn t exist | user not exist | user .. not found
     user not known | not a known user | user is not found | user invalid | user no longer
     mailbox not found | mailbox does not | mailbox doesn t | mailbox .. does not exist | mailbox .. not found | mailbox unknown
     account deleted | not in our database
     mailbox not exist | mailbox .. not exist | mailbox invalid | mailbox not available | mailbox for .. does not exist
     not a valid mailbox
     account not found | account does not | account doesn t | account .. does not exist | account .. doesn t exist | account not exist
     account .. not found | account that you tried to reach does not exist | does not have an account | doesn t have a | account unknown
     address unknown | address not found | address does not | address doesn t | address .. does not exist | address .. unknown
     address no longer | address not known | address is not valid | address is invalid | address not present | address .. not found
     unrouteable address | unroutable address | unroutable mail | undeliverable address | not our customer | not our user | validrcptto
     badrcptto
     addressee unknown | not listed in .. directory | not found in directory | can t find any user
     unbekannter empfänger | unbekannter empfaenger | empfänger unbekannt | empfaenger unbekannt | benutzer unbekannt
     utilisateur inconnu | destinataire inconnu | adresse inconnue | usuario desconocido | usuario no existe | utente sconosciuto
     inexistente | inesistente | inexistant | inexistante | non trovato | no encontrado | nicht gefunden | gibt es .. nicht
     introuvable | nicht bekannt | não existe
     n existe pas | n existe plus | existiert nicht | no existe | non esiste | onbekende ontvanger | onbekende gebruiker | nie istnieje
     has left the company | left the company | no longer employed
     no longer with the company | callout verification failure | resolver adr | recipient cannot be verified | user has moved
     recipient has moved | delivery to the following recipient* .. does not exist | recipient address rejected access denied
     recipient addresses rejected access denied`,
  ),
  text(
    {
      id: "mailbox-disabled",
      category: "recipient",
      status: "2.1",
      message: "The recipient's mailbox is closed or takes no mail.",
    },
    `mailbox disabled | mailbox is disabled | mailbox .. disabled | mailbox inactive | mailbox is inactive | mailbox closed
     mailbox suspended
     mailbox .. suspended | mailbox locked | mailbox is locked | mailbox blocked | mailbox is blocked | mailbox .. deactivated
     account disabled | account is disabled | account .. disabled | account has been disabled | account inactive | account is inactive
     account .. inactive | account suspended | account .. suspended | account .. deactivated | account closed | account .. locked
     account expired | account is not active | account not active | account .. discontinued | account .. terminated | account blocked
     account that you tried to reach is disabled | account that you tried to reach is inactive | disabled user | disableduser
     disabled recipient | user disabled | user is disabled | user suspended | user .. suspended | deactivated mailbox
     mailbox deactivated | user inactive | user terminated | account terminated | user is inactive
     mailbox .. not in use | inactive user | inactive account | inactive mailbox | inactive recipient | address .. inactive
     user .. disabled | no longer active
     no longer available | no longer valid | no longer in (use/service) | no longer exists | no longer works | no longer accept*
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
     relay not allowed | relay is not allowed | not permitted to relay | unable to relay | cannot relay | no relay | no relaying
     not relaying
     relaying prohibited | relaying .. disallowed | relaying disallowed | we do not relay | we don t relay | not allowed to relay
     list of allowed rcpthosts | rcpthosts | relay prohibited | relaying is prohibited | tenantattribution | not a gateway`,
  ),
];
