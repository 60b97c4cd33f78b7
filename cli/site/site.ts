/** The installation that `dns` and `doctor` look at, and all they may ask of it. Nothing is opened before it is asked for. */

import type { Config } from "#shared/domain/config.ts";
import type { KnownAddress } from "#shared/domain/egress-names.ts";
import type { Dns } from "#shared/ports/dns.ts";

import type { SiteKeys } from "./published-keys.ts";

export interface Site extends Disposable {
  /** With its secrets, as far as they are to be had here; `dkimKeys` says when they are not. */
  readonly config: Config;
  /** Configuration file; null: the built-in defaults. */
  readonly source: string | null;
  /** Absolute path; null: on AWS, where nothing is kept on a disk. */
  readonly dataDir: string | null;
  /** Asks the name servers of the configuration, each question in bounded time. */
  readonly dns: Dns;
  /** Of the configuration and of the store. `trouble`: why some are missing. Never rejects. */
  dkimKeys(): Promise<SiteKeys & { readonly trouble: string | null }>;
  /** How many API keys there are. */
  apiKeyCount(): Promise<number>;
  /** Null: not on AWS. */
  readonly elasticIps: (() => Promise<ElasticIps>) | null;
  /** Questions to all that keeps mail on AWS, one each; null: not on AWS. */
  readonly reach: readonly Reach[] | null;
  /** Whose clock ours is to agree with: a URL that answers with a Date; null: none is known. */
  readonly clockUrl: string | null;
}

export interface ElasticIps {
  /** Of this installation, by its tag. */
  readonly ours: readonly (KnownAddress & { readonly name: string })[];
  /** Of the account in the region. */
  readonly total: number;
}

/** A part of the deployment, and a question that changes nothing. It rejects when the part cannot be used from here. */
export interface Reach {
  /** Such as `table zonefleet-production`. */
  readonly what: string;
  ask(): Promise<void>;
}
