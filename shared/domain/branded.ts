declare const brand: unique symbol;

/** A primitive that only its parser makes, so that a zone name cannot be passed where a domain is meant. */
export type Branded<T, Name extends string> = T & { readonly [brand]: Name };
