/** Texts of replies about time and pace: greylisting, rates, counts. Part of bounce-texts.ts. */

import type { BounceRule } from "./bounce-rule.ts";
import { text } from "./bounce-text.ts";

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
