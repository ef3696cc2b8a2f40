//! Where in a JSON text something stands, as a JSON pointer (RFC 6901).

/// What is around the place that the reader has come to.
enum Around {
    /// An object, in the member of this name; none yet where the name is still to come.
    Object(Option<String>),
    /// An array, in its element of this number.
    Array(usize),
}

/// The pointer to what ends at a line and a column, as `serde_json` counts them: from one, in bytes.
pub(crate) fn at(json: &str, line: usize, column: usize) -> String {
    let before: usize = json.split('\n').take(line.saturating_sub(1)).map(|line| line.len() + 1).sum();
    let text = json.get(..before + column).unwrap_or(json);
    let mut around = Vec::new();
    let mut at = 0;
    while let Some(sign) = text.as_bytes().get(at) {
        let mut length = 1;
        match (sign, around.last_mut()) {
            (b'{', _) => around.push(Around::Object(None)),
            (b'[', _) => around.push(Around::Array(0)),
            (b'}' | b']', _) => _ = around.pop(),
            (b',', Some(Around::Object(name))) => *name = None,
            (b',', Some(Around::Array(index))) => *index += 1,
            (b'"', inside) => {
                let string = text.get(at..).unwrap_or_default();
                length = string_length(string);
                if let Some(Around::Object(name @ None)) = inside {
                    *name = string.get(..length).and_then(|quoted| serde_json::from_str(quoted).ok());
                }
            }
            _ => {}
        }
        at += length;
    }
    let mut pointer = String::new();
    for step in around {
        match step {
            Around::Object(Some(name)) => pointer.extend(["/", &token(&name)]),
            Around::Array(index) => pointer.extend(["/", &index.to_string()]),
            Around::Object(None) => {}
        }
    }
    pointer
}

/// A key as a part of a pointer.
pub fn token(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The length of the string that a text begins with, its quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}
