// The on-call board: posts an event's title to a board, red for what has failed.
//
// `bindings/channel.h` says what there is; it is made of `wit/channel.wit`. A function owns its arguments and frees them;
// what it hands back is freed by the bindings, so every string of it is one of its own (`channel_string_dup`).

#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "json.h"

// The key is a secret: what is seen here is a handle, and Herald puts the key in its place when it sends.
static const char SETTINGS_SCHEMA[] =
    "{\"type\": \"object\", \"required\": [\"url\", \"key\"], \"additionalProperties\": false, \"properties\": {"
    "\"url\": {\"type\": \"string\", \"format\": \"uri\", \"title\": \"Address\"},"
    "\"key\": {\"type\": \"string\", \"minLength\": 1, \"writeOnly\": true, \"title\": \"Key\"}}}";

static bool ends_with(channel_string_t string, const char *end) {
  size_t length = strlen(end);
  return string.len >= length && memcmp(string.ptr + string.len - length, end, length) == 0;
}

void exports_herald_channel_adapter_describe(exports_herald_channel_adapter_description_t *description) {
  channel_string_dup(&description->title, "On-call board");
  channel_string_dup(&description->version, "1.0.0");
  channel_string_dup(&description->summary, "Puts an event's title on the board.");
  channel_string_dup(&description->settings_schema, SETTINGS_SCHEMA);
  description->hosts = (channel_list_string_t){0};
}

static void set_header(herald_channel_types_header_t *header, const char *name, channel_string_t value) {
  channel_string_dup(&header->f0, name);
  header->f1 = value;
}

static bool setting(channel_string_t settings, const char *name, channel_string_t *value,
                    exports_herald_channel_adapter_refusal_t *refusal) {
  if (json_string(settings, name, value)) return true;
  refusal->tag = HERALD_CHANNEL_TYPES_REFUSAL_SETTING;
  text_t pointer = {0};
  text_add(&pointer, "/");
  text_add(&pointer, name);
  refusal->val.setting.f0 = pointer.string;
  channel_string_dup(&refusal->val.setting.f1, "must be a string");
  return false;
}

static bool render(exports_herald_channel_adapter_context_t *context, exports_herald_channel_adapter_event_t *event,
                   exports_herald_channel_adapter_request_t *request,
                   exports_herald_channel_adapter_refusal_t *refusal) {
  channel_string_t url = {0}, key = {0};
  if (!setting(context->settings, "url", &url, refusal) || !setting(context->settings, "key", &key, refusal)) {
    channel_string_free(&url);
    return false;
  }
  text_t body = {0};
  text_add(&body, "{\"text\":");
  text_add_json(&body, event->title);
  text_add(&body, ends_with(event->type, "_failed") ? ",\"level\":\"red\"}" : ",\"level\":\"green\"}");

  channel_string_t json;
  channel_string_dup(&json, "application/json");
  channel_string_dup(&request->method, "POST");
  request->url = url;
  request->headers.len = 2;
  request->headers.ptr = calloc(2, sizeof(herald_channel_types_header_t));
  if (request->headers.ptr == NULL) abort();
  set_header(&request->headers.ptr[0], "content-type", json);
  set_header(&request->headers.ptr[1], "x-key", key);
  request->body.tag = HERALD_CHANNEL_TYPES_BODY_TEXT;
  request->body.val.text = body.string;
  request->auth.is_some = false;
  return true;
}

// True: there is a request. An event that can't be said is a refusal of the tag HERALD_CHANNEL_TYPES_REFUSAL_EVENT.
bool exports_herald_channel_adapter_render(exports_herald_channel_adapter_context_t *context,
                                           exports_herald_channel_adapter_event_t *event,
                                           exports_herald_channel_adapter_request_t *request,
                                           exports_herald_channel_adapter_refusal_t *refusal) {
  bool rendered = render(context, event, request, refusal);
  exports_herald_channel_adapter_context_free(context);
  exports_herald_channel_adapter_event_free(event);
  return rendered;
}
