// @ts-check
/// <reference path="./herald.d.ts" />

/** @type {Herald.Describe} */
export const describe = {
  title: "On-call board",
  version: "1",
  summary: "Puts an event's title on the board in the on-call room.",
  settings: { url: "url", key: "secret" },
};

/** @type {Herald.Render} */
export function render(context, event) {
  return {
    url: context.settings.url,
    headers: { "x-key": context.settings.key },
    body: { text: event.title, level: event.type.endsWith("_failed") ? "red" : "green" },
  };
}
