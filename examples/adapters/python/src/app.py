"""The on-call board: posts an event's title to a board, red for what has failed.

`wit/channel.wit` says what there is; the module `wit_world` is made of it at the build. An option that is not there is
None, the cases of a variant are classes (`types.Body_Text`), and an `err` is raised.
"""

import json

from wit_world import exports
from wit_world.imports import types

SETTINGS_SCHEMA = {
    "type": "object",
    "required": ["url", "key"],
    "additionalProperties": False,
    "properties": {
        "url": {"type": "string", "format": "uri", "title": "Address"},
        # A secret: what is seen here is a handle, and Herald puts the key in its place when it sends.
        "key": {"type": "string", "minLength": 1, "writeOnly": True, "title": "Key"},
    },
}


class Adapter(exports.Adapter):
    def describe(self) -> types.Description:
        return types.Description(
            title="On-call board",
            version="1.0.0",
            summary="Puts an event's title on the board.",
            settings_schema=json.dumps(SETTINGS_SCHEMA),
            hosts=[],
        )

    def render(self, context: types.Context, event: types.Event) -> types.Request:
        settings = json.loads(context.settings)
        level = "red" if event.type.endswith("_failed") else "green"
        message = json.dumps({"text": event.title, "level": level})
        # An event that can't be said: raise componentize_py_types.Err(types.Refusal_Event("why")).
        return types.Request(
            method="POST",
            url=settings["url"],
            headers=[("content-type", "application/json"), ("x-key", settings["key"])],
            body=types.Body_Text(message),
            auth=None,
        )
