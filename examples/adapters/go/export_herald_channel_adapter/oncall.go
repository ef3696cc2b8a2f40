// Package export_herald_channel_adapter is the on-call board: it posts an event's title to a board, red for what has
// failed.
//
// The generated bindings call Describe and Render here. What there is stands in wit/channel.wit, and in Go in
// herald_channel_types.
package export_herald_channel_adapter

import (
	"encoding/json"
	"strings"

	. "oncall/herald_channel_types"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
)

// The key is a secret: what is seen here is a handle, and Herald puts the key in its place when it sends.
const settingsSchema = `{
  "type": "object",
  "required": ["url", "key"],
  "additionalProperties": false,
  "properties": {
    "url": {"type": "string", "format": "uri", "title": "Address"},
    "key": {"type": "string", "minLength": 1, "writeOnly": true, "title": "Key"}
  }
}`

type settings struct {
	URL string `json:"url"`
	Key string `json:"key"`
}

type message struct {
	Text  string `json:"text"`
	Level string `json:"level"`
}

// Describe says what this adapter is.
func Describe() Description {
	return Description{
		Title:          "On-call board",
		Version:        "1.0.0",
		Summary:        "Puts an event's title on the board.",
		SettingsSchema: settingsSchema,
	}
}

// Render turns an event into a request.
func Render(context Context, event Event) witTypes.Result[Request, Refusal] {
	var settings settings
	if err := json.Unmarshal([]byte(context.Settings), &settings); err != nil {
		return witTypes.Err[Request, Refusal](MakeRefusalSetting(witTypes.Tuple2[string, string]{F0: "", F1: err.Error()}))
	}
	level := "green"
	if strings.HasSuffix(event.Type, "_failed") {
		level = "red"
	}
	body, err := json.Marshal(message{Text: event.Title, Level: level})
	if err != nil {
		return witTypes.Err[Request, Refusal](MakeRefusalEvent(err.Error()))
	}
	return witTypes.Ok[Request, Refusal](Request{
		Method: "POST",
		Url:    settings.URL,
		Headers: []Header{
			{F0: "content-type", F1: "application/json"},
			{F0: "x-key", F1: settings.Key},
		},
		Body: MakeBodyText(string(body)),
		Auth: witTypes.None[Auth](),
	})
}
