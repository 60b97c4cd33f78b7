/** Texts of replies about time and pace: greylisting, rates, counts. Part of bounce-texts.ts. */

import type { BounceRule } from "./bounce-rule.ts";
import { text } from "./bounce-text.ts";
import { MAIL, PERIOD } from "./bounce-words.ts";

export const PACE: readonly BounceRule[] = [
  text(
    {
      id: "greylisted",
      action: "defer",
      category: "greylist",
      status: "7.1",
      message: "The receiving server asks unknown senders to try again later (greylisting).",
    },
    `greylist | greylisted | greylisting | graylist | graylisted | graylisting | grey listed | gray listed | grey listing
     postgrey | milter greylist | grey rbl | gl01 | not yet authorized to deliver mail | first attempt .. try again
     first contact | triplet | not seen this sender | sender recipient pair | (deferred/delayed) for .. (seconds/minutes)
     first message is | before delivering to`,
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
      id: "rate-codes",
      action: "slowdown",
      category: "rate",
      status: "7.1",
      message: "The receiving server wants mail from us more slowly.",
    },
    `rp 001 | rp 002 | rp 003 | dyn t1 | dyn t2 | rl000001 | aup mxrt | unsolicitedratelimiterror
     tss01 | tss02 | tss04 | tss05 | tss06 | tss07 | tss08 | tss09 | tss10 | tss11 | ts01 | ts02 | ts04
     mi sfq | mi dmc | mi cel | rp cel | rp rcl | rp qrc | rp trc | rp csl | rp drc | rp ccl | mi ccl | mi stc | hl icc | hl ifc
     aup in 1340 | ofr004 .. 104 | ofr005 .. 104`,
  ),
  text(
    {
      id: "rate-limited",
      action: "slowdown",
      category: "rate",
      status: "7.1",
      message: "The receiving server wants mail from us more slowly.",
    },
    `rate limit* | ratelimit | ratelimiting | ratelimited | rate (exceeded/exceeds/is too high/too high/control/controls) | too high rate
     (throttle/throttled/throttles/throttling/slower/flood/flooding/flooded/hammering/swamping/burst/bursts/mailbomb)
     (slow/back/ease/calm) (down/off) | slow (your/start) | (mail/email) bomb | warm up | ramp up
     (so/this) (fast/quickly) | (rapid/quick) succession | (fewer/less) ${MAIL} | less (often/frequently) | wait longer
     longer (pauses/intervals)
     spread (your/the) | connections only | in such a short
     (more/faster) ${MAIL} than | faster than (we/our/is/it/they/this) | too (fast/quickly/frequently/rapidly/often)
     rate of .. (exceeded/exceeds/limit/too high) | (exceeded/exceeds/exceeding) .. rate | (allowed/permitted/maximum) rate
     more slowly
     too (many/much) ${MAIL}
     too (many/much) (connection/session/message/concurrent/simultaneous/parallel/open/active/new/incoming/smtp/tcp/inbound/recent)
     too many recipients from your
     too many .. per connection | ${MAIL} (per/a/an/each/every/in one/in an) ${PERIOD}
     per ${PERIOD} .. (limit/limits/exceeded/allowed/reached/maximum/allowance)
     (limit/limits/maximum/quota/allowance/threshold/cap) .. per ${PERIOD} | (hourly/daily) .. (limit/quota/maximum/allowance)
     (hour/minute/day) limit | recipients (received/per day) | recipients .. hour | quota for (messages/this sender/today)
     (quota/allowance) for (this/one/the) ${PERIOD} | your quota of
     (connection/message/messages/mail/email/sending/send/submission/delivery/incoming/inbound) (rate/rates/frequency) | frequency limit*
     over frequency | threshold (exceeded/reached)
     (concurrent/simultaneous/parallel) (connection/connections/sessions/server connections/smtp connections)
     (connections/session/sessions) quota | (sending/send/relay) (limit/quota) | (connection/connections/session/sessions) limit*
     (max/maximum) (connections/sessions/incoming/concurrent/simultaneous/emails/mails)
     (max/maximum) number of (connections/sessions/concurrent/messages)
     connections exceeded | (limit/number) of (messages/connections/emails/mails) .. allowed
     (limit/ceiling) of .. (messages/mails/emails/connections) | used up (the/your/all)
     ${MAIL} .. (at once/at the same time/in parallel/short time/short a time) | message limit exceeded
     exceeded the number of (messages/connections/emails) | you send more than
     (unusual/unexpected/excessive/abnormal/increased/high/large/heavy/sudden) (volume/rate/amount of/number of messages/traffic)
     (emails/messages/mails/connections/recipients) .. (exceed/exceeds/exceeded/over/above) .. (limit/count/threshold/allowance/permitted)
     sent by the same ip exceed* | reduce (your/the) (rate/sending/volume/number of messages/number of connections)
     trop (de/nombreuses/de nombreuses) (connexions/messages/mails/courriels/sessions/requetes) | ralentir | ralentissez
     trop (rapidement/vite/souvent/frequemment)
     zu (viele/viel) (verbindungen/nachrichten/mails/e mails/emails/sessions/anfragen/gleichzeitige) | zu (schnell/haufig/oft) | langsamer
     demasiadas conexiones | demasiados (mensajes/correos/envios) | limite de (envio/envios/conexiones/mensajes/conexoes/mensagens)
     troppe (connessioni/sessioni/mail/email) | troppi (messaggi/invii) | muitas (conexoes/mensagens)
     te veel (berichten/verbindingen/mails)
     слишком (много/часто/быстро) | превышен лимит | превышено .. (количество/число) | za duzo | zbyt (wiele/duzo/szybko/czesto)`,
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
    },
    `too many errors | too many invalid recipients | too many unknown recipients | too many bad recipients | too many unknown users`,
  ),
];
