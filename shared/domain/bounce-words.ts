/**
 * Words that mean the same in replies, in the languages of the larger receivers, for use in phrases (see phrases.ts): who we
 * are to a peer, how it refuses us, what we send too much of, and what says that time will help. Accents do not count.
 */

/** `(one/two/three)` of words separated by bars. */
function oneOf(...lines: readonly string[]): string {
  return `(${wordsIn(lines).join("/")})`;
}

function wordsIn(lines: readonly string[]): string[] {
  return lines.flatMap((line) => line.split(/[|\n]/)).map((word) => word.trim());
}

/** Each of the first words with each of the second behind it. */
function both(first: string, second: string): string[] {
  return wordsIn([first]).flatMap((one) => wordsIn([second]).map((other) => `${one} ${other}`));
}

interface Language {
  readonly from: string;
  readonly your: string;
  readonly host: string;
}

const LANGUAGES: readonly Language[] = [
  {
    from: "from",
    your: "your",
    host: `ip | ips | ipaddr | ip address | ip addresses | ip range | host | hosts | server | servers | mail server | mail servers
      mailserver | smtp server | mta | mail host | machine | gateway | relay | network | network range | subnet | address space
      address range | neighbourhood | connection | connections`,
  },
  { from: "de | depuis", your: "votre | vos", host: "ip | adresse ip | serveur | serveurs" },
  {
    from: "von",
    your: "ihr | ihre | ihrer | ihrem | ihres | dein | deine",
    host: "ip | server | servers | mailserver | mailservers",
  },
  { from: "de | desde", your: "su | sus | tu | tus", host: "ip | direccion ip | servidor" },
  { from: "de | do", your: "seu | sua", host: "ip | endereco ip | servidor" },
  { from: "da | dal", your: "tuo | suo | vostro", host: "ip | indirizzo ip | server" },
  { from: "van", your: "uw | je | jouw", host: "ip | server | mailserver" },
  { from: "с | от", your: "ваш | вашего | вашему", host: "ip | сервер | сервера | серверу" },
  { from: "z | od", your: "twoj | twojego | panstwa", host: "ip | adres ip | serwer | serwera" },
  { from: "fra | fran", your: "din | ditt | deres", host: "ip | server" },
  { from: "z", your: "vas | vase | vaseho", host: "ip | server | serveru" },
];

/** What we are to a peer that speaks to us: `your ip`. */
export const YOUR_HOST = oneOf(
  ...LANGUAGES.flatMap(({ your, host }) => both(your, host)),
  "the ip you | ip address | adresse ip | ip adresse | direccion ip | endereco ip | indirizzo ip | ip adres | adres ip | ip адрес",
  "ip adress | ip adresa | ip adresiniz | ip osoite",
);

/** `from your ip` is a refusal by itself. */
export const FROM_YOUR_HOST = oneOf(
  ...LANGUAGES.flatMap(({ from, your, host }) => both(from, both(your, host).join("|"))),
);

/** The same where the peer speaks of us to others, or of many. */
export const A_HOST = oneOf(
  "client ip | ip ipaddr | sending ip | sending server | sending host | sending mta | sending system | sending network",
  "connecting ip | connecting host | connecting server | connecting client | connecting mta | source ip | source host",
  "source address | source network | remote ip | sender ip | sender s ip | sender host | originating ip | originating server",
  "originating host | this ip | this network | ip range | connection from | connections from | smtp client",
);

/** How a host is refused; mail may be refused in the same words. */
export const REFUSED = oneOf(
  "blocked | block | blocking | banned | barred | rejected",
  "refused | refusing | denied | listed | not allowed | not accepted | not permitted | not authorized | not authorised",
  "no permission | not trusted | untrusted | not welcome | unwelcome | not wanted | unwanted | penalized | penalised | reputation | abuse",
  "abusive | spam | spammer | spammers | complaints | compromised | suspicious | malicious | hostile",
  "dynamic | gesperrt | blockiert | geblockt | abgelehnt | abgewiesen | gelistet | bloque | bloquee | bloques | blacklistee",
  "refuse | refusee | rejete | rejetee | interdite | bloqueada | bloqueado | rechazada | rechazado | rejeitado | recusado",
  "bloccato | rifiutato | respinto | geblokkeerd | geweigerd | zablokowany | odrzucony | заблокирован | отклонен | запрещен",
  "blokeret | blokkert | blockerad | sparrad | estetty | engellendi | zablokovana | blokovana",
);

/** What is counted, and may be too much. */
export const MAIL = oneOf(
  "mail | mails | email | emails | e mails | messages | letters | connections | sessions | transactions | deliveries | requests",
  "volume | traffic | smtp connections | smtp sessions | delivery attempts | connection attempts",
);

/** A span of time that has an allowance. */
export const PERIOD = oneOf(
  "second | minute | min | hour | hr | day | seconds | minutes | hours | week | month",
);

/** That time will help. `Try again` alone may ask for another address or text. */
export const IN_TIME = `temporarily | transient | temperror
  temporary (error/failure/problem/condition/issue/internal/local/system/server/fault/trouble/rejection/reject)
  temp (fail/failure/error) | (try/again) in | try (later/tomorrow/shortly) | try again (later/after/tomorrow/soon/shortly/at a)
  (retry/resend/return/reconnect) (later/tomorrow/shortly/in/after) | come back (later/in/tomorrow/soon) | resend .. later
  try .. later | later time | wait (before/a/some/until) | at the moment | for the moment | at this moment | for now
  right now | just now | not ready | in progress | currently (unavailable/not available/down/busy/offline/locked/not reachable)
  (locked/used) by another | in use by | being (moved/migrated/restored/rebuilt/repaired/updated/upgraded/verified)
  maintenance | (is/too/system/server/mailbox/currently) busy | is offline | overloaded | restarting | rebooting | going down
  shutting down | for (a while/some time)
  (suspended/blocked/locked/closed/disabled/stopped) for .. (minute/minutes/hour/hours) | out of service
  vorubergehend | voruebergehend | momentan | derzeit | zurzeit | spater | spaeter | temporar | temporaer
  temporairement | temporaire | ulterieurement | plus tard | momentanement | temporalmente | mas tarde | en este momento
  temporaneamente | temporaneo | temporanea | piu tardi | temporariamente | temporario | mais tarde | neste momento
  tijdelijk | tijdelijke | later opnieuw | tymczasowo | tymczasowy | pozniej | временно | позже | позднее
  midlertidig | midlertidigt | tillfalligt | senere | senare | docasne | pozdeji | gecici | daha sonra | myohemmin | atmenetileg | kesobb`;
