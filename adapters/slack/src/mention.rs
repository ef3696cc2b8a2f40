//! Whom a failure calls.

use herald_channel::Refusal;

/// Reads the setting: names as people write them become Slack's mentions, anything else is refused.
pub fn parse(setting: &str) -> Result<String, Refusal> {
    let mentions: Option<Vec<_>> = setting.split_whitespace().map(mention).collect();
    mentions.filter(|mentions| !mentions.is_empty()).map(|mentions| mentions.join(" ")).ok_or_else(|| {
        Refusal::setting(
            "/mention_on_failure",
            "use @here, @channel, @everyone, <@U…> for a member or <!subteam^S…> for a group",
        )
    })
}

fn mention(word: &str) -> Option<String> {
    let bare =
        word.strip_prefix("<!").and_then(|word| word.strip_suffix('>')).unwrap_or_else(|| word.trim_start_matches('@'));
    if ["here", "channel", "everyone"].contains(&bare) {
        return Some(format!("<!{bare}>"));
    }
    let id = |prefix| word.strip_prefix(prefix).and_then(|word: &str| word.strip_suffix('>'));
    let well_formed = |id: &str| id.len() > 1 && id.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    let known = id("<@").is_some_and(|id| id.starts_with(['U', 'W']) && well_formed(id))
        || id("<!subteam^").is_some_and(|id| id.starts_with('S') && well_formed(id));
    known.then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mention_is_one_that_slack_knows() {
        for (setting, expected) in [
            ("@here", "<!here>"),
            ("channel", "<!channel>"),
            (" <!everyone> ", "<!everyone>"),
            ("<@U123ABC>", "<@U123ABC>"),
            ("@here <!subteam^S12>", "<!here> <!subteam^S12>"),
        ] {
            assert_eq!(parse(setting), Ok(expected.to_owned()));
        }
        for wrong in
            ["", " ", "@bob", "<@bob>", "<@U1|bob>", "<@U1", "<!here|x>", "<https://a.example>", "@here hello", "<@U>"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
