// As much JSON as an adapter needs: strings out of an object, and strings into a text.

#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "channel.h"

// A text that grows. It begins as {0}.
typedef struct {
  channel_string_t string;
  size_t room;
} text_t;

void text_add(text_t *text, const char *piece);

// As a JSON string, quotes included.
void text_add_json(text_t *text, channel_string_t string);

// The member of that name of a JSON object, if it is there and a string.
bool json_string(channel_string_t object, const char *name, channel_string_t *value);

#endif
