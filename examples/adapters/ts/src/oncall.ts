// The on-call board: posts an event's title to a board, red for what has failed.

import type { Adapter } from "./channel";

const settingsSchema = {
  type: "object",
  required: ["url", "key"],
  additionalProperties: false,
  properties: {
    url: { type: "string", format: "uri", title: "Address" },
    // A secret: what is seen here is a handle, and Herald puts the key in its place when it sends.
    key: { type: "string", minLength: 1, writeOnly: true, title: "Key" },
  },
};

interface Settings {
  url: string;
  key: string;
}

export const adapter: Adapter = {
  describe() {
    return {
      title: "On-call board",
      version: "1.0.0",
      summary: "Puts an event's title on the board.",
      settingsSchema: JSON.stringify(settingsSchema),
      hosts: [],
    };
  },

  render(context, event) {
    const settings: Settings = JSON.parse(context.settings);
    const level = event.type.endsWith("_failed") ? "red" : "green";
    // An event that can't be said: throw { tag: "event", val: "why" } satisfies Refusal.
    return {
      method: "POST",
      url: settings.url,
      headers: [
        ["content-type", "application/json"],
        ["x-key", settings.key],
      ],
      body: { tag: "text", val: JSON.stringify({ text: event.title, level }) },
    };
  },
};
