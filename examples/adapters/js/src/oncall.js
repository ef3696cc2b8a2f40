// The on-call board: posts an event's title to a board, red for what has failed.
//
// `wit/channel.wit` says what there is. Names are in camel case here (`settings-schema` is `settingsSchema`), an option
// that is not there is `undefined`, a variant is `{ tag, val }`, and an `err` is thrown.

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

export const adapter = {
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
    const settings = JSON.parse(context.settings);
    const message = { text: event.title, level: event.type.endsWith("_failed") ? "red" : "green" };
    // An event that can't be said: throw { tag: "event", val: "why" }.
    return {
      method: "POST",
      url: settings.url,
      headers: [
        ["content-type", "application/json"],
        ["x-key", settings.key],
      ],
      body: { tag: "text", val: JSON.stringify(message) },
      auth: undefined,
    };
  },
};
