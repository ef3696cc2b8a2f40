// What stands between a script and the contract: evaluated once, before the script. `write(level, text)` is the log.
(function (write) {
  "use strict";
  const { parse, stringify } = JSON;

  const shown = (value) => {
    if (typeof value === "string") return value;
    if (value instanceof Error) return `${value}\n${value.stack}`;
    const text = typeof value === "function" ? undefined : stringify(value);
    return text === undefined ? String(value) : text;
  };
  const logger = (level) => (...values) => write(level, values.map(shown).join(" "));
  globalThis.console = {
    debug: logger("debug"),
    log: logger("info"),
    info: logger("info"),
    warn: logger("warn"),
    error: logger("error"),
  };

  // Says what is wrong with what a script gave back: there is no place in the script to point at.
  class Misfit extends Error {
    misfit = true;
  }
  const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
  const checked = (what, value, known) => {
    if (value instanceof Promise) throw new Misfit(`${what} is a promise: there is nothing to wait for, leave out \`async\``);
    if (!isObject(value)) throw new Misfit(`${what} is ${value === null ? "null" : Array.isArray(value) ? "a list" : typeof value}, not an object`);
    for (const name of Object.keys(value)) {
      if (!known.includes(name)) throw new Misfit(`${what} has \`${name}\`, which is none of ${known.join(", ")}`);
    }
    return value;
  };
  const text = (what, value) => {
    if (typeof value !== "string") throw new Misfit(`${what} is ${value === undefined ? "missing" : typeof value}, not a text`);
    return value;
  };

  const header = ([name, value]) => [text("a header's name", name), text(`the header \`${name}\``, typeof value === "number" ? String(value) : value)];
  const REQUEST = ["method", "url", "headers", "body", "payload", "auth"];
  const request = (what, given) => {
    const { method = "POST", url, headers = {}, body, payload = false, auth = null } = checked(what, given, REQUEST);
    const list = (Array.isArray(headers) ? headers : Object.entries(headers)).filter(([, value]) => value != null).map(header);
    const made = { method: text(`${what}'s method`, method), url: text(`${what}'s url`, url), headers: list, auth };
    if (payload) return { ...made, body: { payload: null } };
    if (body === undefined || body === null) return { ...made, body: null };
    if (typeof body === "string") return { ...made, body: { text: body } };
    if (body instanceof Uint8Array) return { ...made, body: { bytes: Array.from(body) } };
    if (!list.some(([name]) => name.toLowerCase() === "content-type")) list.unshift(["content-type", "application/json"]);
    return { ...made, body: { text: stringify(body) } };
  };

  const VERDICT = ["delivered", "reference", "retry", "afterMs", "rejected", "disable", "next", "state"];
  const verdict = (given) => {
    const { next, ...rest } = checked("what interpret returned", given, VERDICT);
    return next === undefined ? rest : { ...rest, next: request("the next request", next) };
  };

  return {
    describe(module) {
      const { title, version, summary = "", settings = null, hosts = [] } =
        checked("describe", module.describe, ["title", "version", "summary", "settings", "hosts"]);
      for (const name of ["render", "interpret"]) {
        const is = typeof module[name];
        if (is !== "function" && (name === "render" || is !== "undefined")) {
          throw new Misfit(`\`${name}\` is ${is === "undefined" ? "missing: export function render(context, event) { return { url: … }; }" : `${is}, not a function`}`);
        }
      }
      return stringify({
        title: text("describe.title", title),
        version: text("describe.version", typeof version === "number" ? String(version) : version),
        summary: text("describe.summary", summary),
        settings,
        hosts,
      });
    },

    render(render, input) {
      const { context, event } = parse(input);
      const given = render(context, event);
      if (isObject(given) && "refuse" in given) {
        const { refuse, setting = null } = checked("the refusal", given, ["refuse", "setting"]);
        return stringify({ refuse: text("the refusal's reason", refuse), setting });
      }
      return stringify(request("what render returned", given));
    },

    interpret(interpret, input) {
      const { context, event, response, state } = parse(input);
      const { body } = response;
      response.json = () => {
        try {
          return parse(body);
        } catch {
          return undefined;
        }
      };
      const given = interpret(context, event, response, state === null ? undefined : state);
      return given === undefined || given === null ? "null" : stringify(verdict(given));
    },
  };
})
