// What a script adapter is made of, for editors: a script with `// @ts-check` at its top is checked by it.
// The reference in words: docs/script-adapters.md.

declare namespace Herald {
  /** `export const describe: Herald.Describe = …`: what the adapter is. */
  interface Describe {
    /** For people. */
    title: string;
    version: string | number;
    summary?: string;
    /** Which settings a channel has. Left out: any. */
    settings?: ShortSettings | JsonSchema;
    /** Host names that it sends to, `*.` allowed in front. Left out: wherever the settings point. */
    hosts?: string[];
  }

  type Kind = "string" | "url" | "secret" | "number" | "integer" | "boolean";
  /** A `?` behind the kind: may be left out. */
  type ShortSettings = { [name: string]: Kind | `${Kind}?` };
  /** 2020-12. A secret is a string with `"writeOnly": true`. */
  type JsonSchema = { [keyword: string]: unknown };

  /** `export function render(context, event)`: turns an event into the request that carries it. */
  type Render = (context: Context, event: Event) => Request | Refusal;

  /**
   * `export function interpret(context, event, response, state)`: says what an answer means. Nothing returned, or no such
   * function: Herald's own rule holds.
   */
  type Interpret = (context: Context, event: Event, response: Response, state: any) => Verdict | null | undefined | void;

  interface Context {
    /** The same for every attempt: what a receiver removes duplicates by. */
    deliveryId: string;
    channel: string;
    /** The channel's settings. A secret stands in them as a handle, which Herald replaces when it sends. */
    settings: any;
    /** 1 for the first. */
    attempt: number;
    /** Milliseconds since 1970, UTC; `Date.now()` says the same. */
    now: number;
    /** What the last delivered event of the same subject on this channel left. */
    reference: string | null;
  }

  interface Event {
    id: string;
    /** For example `execution_completed`. */
    type: string;
    title: string;
    /** Markdown. */
    body: string;
    url: string | null;
    project: string | null;
    subject: string | null;
    /** Milliseconds since 1970, UTC. */
    occurredAt: number;
    /** What the application sent beside that. */
    data: { [name: string]: any };
  }

  interface Request {
    /** `POST` if left out. */
    method?: string;
    url: string;
    /** By name, or a list of pairs. What is null or undefined is left out. */
    headers?: { [name: string]: string | number | null | undefined } | [string, string | number | null | undefined][];
    /** An object or a list is sent as JSON, a string or bytes as they are; nothing: an empty body. */
    body?: string | Uint8Array | object | null;
    /** True: the body is what the application posted, byte for byte. */
    payload?: boolean;
    auth?: Auth | null;
  }

  /** How Herald authenticates the request: it signs the final bytes, with secrets that no adapter sees. */
  type Auth =
    | { basic: { username: string; password: string } }
    | { bearer: string }
    | { standardWebhooks: string[] }
    | { hmac: { secret: string; header: string; hash?: "sha1" | "sha256" | "sha512"; prefix?: string } }
    | {
        oauth2: {
          tokenUrl: string;
          clientId: string;
          clientSecret: string;
          scopes?: string[];
          clientAuth?: "basic" | "body";
          audience?: string;
        };
      }
    | {
        awsSigv4: {
          accessKeyId: string;
          secretAccessKey: string;
          sessionToken?: string;
          region: string;
          service: string;
        };
      };

  /** No request can be made, and trying again would not help. `setting`: the JSON pointer of the setting that is wrong. */
  interface Refusal {
    refuse: string;
    setting?: string;
  }

  interface Response {
    status: number;
    /** Names are lower case. */
    headers: { [name: string]: string };
    /** The first 64 KiB. */
    body: string;
    /** The body as JSON; undefined when it is none. */
    json(): any;
  }

  type Verdict =
    /** `reference`: what later events of the same subject get as `context.reference`. */
    | { delivered: true; reference?: string | null }
    /** Try again, after so many milliseconds where the service said how long. */
    | { retry: string; afterMs?: number }
    /** The service will never take this one. */
    | { rejected: string }
    /** The service will never take any. */
    | { disable: string }
    /** One more request; `state` comes back with its answer. */
    | { next: Request; state?: unknown };
}

/** Lines of the host's log. */
declare const console: {
  debug(...values: unknown[]): void;
  log(...values: unknown[]): void;
  info(...values: unknown[]): void;
  warn(...values: unknown[]): void;
  error(...values: unknown[]): void;
};
