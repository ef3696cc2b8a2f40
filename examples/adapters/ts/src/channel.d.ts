// The contract of wit/channel.wit in TypeScript: what an adapter is given, and what it answers.

export interface Event {
  id: string;
  /** For example `execution_completed`. */
  type: string;
  title: string;
  /** Markdown. */
  body: string;
  url?: string;
  project?: string;
  /** What the event is about: events with one subject belong together. */
  subject?: string;
  /** Milliseconds since the Unix epoch, UTC. */
  occurredAt: bigint;
  /** A JSON object, as text. */
  data: string;
}

export interface Context {
  /** The same for every attempt. */
  deliveryId: string;
  channel: string;
  /** JSON, valid by the adapter's own schema. A secret stands in it as a handle: use it like any other string. */
  settings: string;
  /** 1 for the first. */
  attempt: number;
  /** The host's clock, milliseconds since the Unix epoch, UTC. */
  now: bigint;
  /** What the last delivered event of the same subject on this channel left as its reference. */
  reference?: string;
}

export type Header = [name: string, value: string];

export interface Request {
  method: string;
  url: string;
  headers: Header[];
  body: { tag: "empty" } | { tag: "text"; val: string } | { tag: "bytes"; val: Uint8Array } | { tag: "payload" };
  /** How the host signs the final bytes. */
  auth?: Auth;
}

export type Auth =
  | { tag: "basic"; val: [user: string, password: string] }
  | { tag: "bearer"; val: string }
  | { tag: "standard-webhooks"; val: string[] }
  | { tag: "hmac"; val: { secret: string; hash: "sha1" | "sha256" | "sha512"; header: string; prefix: string } }
  | {
      tag: "oauth2";
      val: {
        tokenUrl: string;
        clientId: string;
        clientSecret: string;
        scopes: string[];
        clientAuth: "basic" | "body";
        audience?: string;
      };
    }
  | {
      tag: "aws-sigv4";
      val: { accessKeyId: string; secretAccessKey: string; sessionToken?: string; region: string; service: string };
    };

/** Thrown by `render`: no request can be made of this event and these settings. */
export type Refusal = { tag: "setting"; val: [pointer: string, reason: string] } | { tag: "event"; val: string };

export interface Description {
  title: string;
  version: string;
  summary: string;
  /** JSON Schema (2020-12). A secret is a string with `"writeOnly": true`. */
  settingsSchema: string;
  /** Host names that it sends to, `*.` allowed in front. Empty: wherever the settings point. */
  hosts: string[];
}

export interface Adapter {
  describe(): Description;
  render(context: Context, event: Event): Request;
}

/** Of the world `conversational-channel`: exported as `replies` by an adapter that reads the service's answers. */
export interface Replies {
  interpret(context: Context, event: Event, state: Uint8Array, response: Response): Verdict;
}

export interface Response {
  status: number;
  /** Names are lower case. */
  headers: Header[];
  /** The first 64 KiB. */
  body: string;
}

export type Verdict =
  | { tag: "delivered"; val: { reference?: string } }
  | { tag: "retry"; val: [reason: string, afterMs: bigint | undefined] }
  | { tag: "rejected"; val: string }
  | { tag: "disable"; val: string }
  | { tag: "next"; val: { request: Request; state: Uint8Array } };
