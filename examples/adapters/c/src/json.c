#include "json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void add_bytes(text_t *text, const uint8_t *bytes, size_t count) {
  if (text->room - text->string.len < count) {
    text->room = (text->string.len + count) * 2;
    text->string.ptr = realloc(text->string.ptr, text->room);
    // Out of memory: the call ends, and Herald says why.
    if (text->string.ptr == NULL) abort();
  }
  memcpy(text->string.ptr + text->string.len, bytes, count);
  text->string.len += count;
}

static void add_byte(text_t *text, uint8_t byte) { add_bytes(text, &byte, 1); }

void text_add(text_t *text, const char *piece) { add_bytes(text, (const uint8_t *)piece, strlen(piece)); }

void text_add_json(text_t *text, channel_string_t string) {
  static const char digits[] = "0123456789abcdef";
  add_byte(text, '"');
  for (size_t n = 0; n < string.len; n++) {
    uint8_t c = string.ptr[n];
    if (c == '"' || c == '\\') {
      add_byte(text, '\\');
      add_byte(text, c);
    } else if (c < 0x20) {
      text_add(text, "\\u00");
      add_byte(text, (uint8_t)digits[c >> 4]);
      add_byte(text, (uint8_t)digits[c & 15]);
    } else {
      add_byte(text, c);
    }
  }
  add_byte(text, '"');
}

// Where the reading has come to. What is read is valid JSON: Herald has checked it.
typedef struct {
  const uint8_t *at, *end;
} reader_t;

static int peek(const reader_t *reader) { return reader->at < reader->end ? *reader->at : -1; }

static int next(reader_t *reader) { return reader->at < reader->end ? *reader->at++ : -1; }

static void skip_space(reader_t *reader) {
  while (peek(reader) == ' ' || peek(reader) == '\n' || peek(reader) == '\r' || peek(reader) == '\t') next(reader);
}

static uint32_t read_hex(reader_t *reader) {
  uint32_t value = 0;
  for (int n = 0; n < 4; n++) {
    int c = next(reader);
    value = value * 16 + (uint32_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return value;
}

static void add_utf8(text_t *text, uint32_t c) {
  if (c < 0x80) {
    add_byte(text, (uint8_t)c);
    return;
  }
  if (c >= 0x10000) {
    add_byte(text, (uint8_t)(0xf0 | c >> 18));
    add_byte(text, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
  } else if (c >= 0x800) {
    add_byte(text, (uint8_t)(0xe0 | c >> 12));
  }
  add_byte(text, (uint8_t)(c >= 0x800 ? 0x80 | (c >> 6 & 0x3f) : 0xc0 | c >> 6));
  add_byte(text, (uint8_t)(0x80 | (c & 0x3f)));
}

// After `\u`: one half of a pair stands for nothing without the other.
static void read_unicode(reader_t *reader, text_t *text) {
  uint32_t c = read_hex(reader);
  if (c >= 0xd800 && c < 0xdc00 && reader->end - reader->at >= 6 && reader->at[0] == '\\' && reader->at[1] == 'u') {
    reader->at += 2;
    c = 0x10000 + ((c - 0xd800) << 10) + (read_hex(reader) - 0xdc00);
  }
  add_utf8(text, c);
}

// From the quote on.
static void read_string(reader_t *reader, text_t *text) {
  next(reader);
  for (int c = next(reader); c >= 0 && c != '"'; c = next(reader)) {
    if (c != '\\') {
      add_byte(text, (uint8_t)c);
      continue;
    }
    switch (c = next(reader)) {
      case 'b': add_byte(text, '\b'); break;
      case 'f': add_byte(text, '\f'); break;
      case 'n': add_byte(text, '\n'); break;
      case 'r': add_byte(text, '\r'); break;
      case 't': add_byte(text, '\t'); break;
      case 'u': read_unicode(reader, text); break;
      default: add_byte(text, (uint8_t)c);
    }
  }
}

// Whatever it is, to the comma or the brace after it.
static void skip_value(reader_t *reader) {
  int depth = 0;
  for (int c = peek(reader); c >= 0; c = peek(reader)) {
    if (c == '"') {
      text_t ignored = {0};
      read_string(reader, &ignored);
      free(ignored.string.ptr);
      continue;
    }
    if (depth == 0 && (c == ',' || c == '}')) return;
    depth += (c == '{' || c == '[') - (c == '}' || c == ']');
    next(reader);
  }
}

bool json_string(channel_string_t object, const char *name, channel_string_t *value) {
  reader_t reader = {object.ptr, object.ptr + object.len};
  skip_space(&reader);
  next(&reader);
  for (skip_space(&reader); peek(&reader) == '"'; skip_space(&reader)) {
    text_t key = {0};
    read_string(&reader, &key);
    bool found = key.string.len == strlen(name) && memcmp(key.string.ptr, name, key.string.len) == 0;
    free(key.string.ptr);
    skip_space(&reader);
    next(&reader);
    skip_space(&reader);
    if (found && peek(&reader) == '"') {
      text_t text = {0};
      read_string(&reader, &text);
      *value = text.string;
      return true;
    }
    skip_value(&reader);
    if (peek(&reader) == ',') next(&reader);
  }
  return false;
}
