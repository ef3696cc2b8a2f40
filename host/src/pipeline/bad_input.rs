//! What is wrong with a post, told to its sender.

/// What is wrong with a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadInput {
    /// Which HTTP status it is.
    pub kind: BadKind,
    /// For programs.
    pub code: &'static str,
    /// For people: what is wrong, and where.
    pub message: String,
    /// For people: what to do.
    pub hint: String,
    /// Which event of several, 0 for the first.
    pub index: Option<usize>,
}

/// The kinds of [`BadInput`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadKind {
    /// Not the syntax that it claims to be.
    Malformed,
    /// A content type that is not understood.
    Unsupported,
    /// Good syntax, bad content.
    Invalid,
}

impl BadInput {
    pub(super) fn malformed(message: impl Into<String>, hint: &str) -> Self {
        Self {
            kind: BadKind::Malformed,
            code: "malformed_json",
            message: message.into(),
            hint: hint.to_owned(),
            index: None,
        }
    }

    pub(super) fn invalid(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind: BadKind::Invalid, code: "invalid_event", message: message.into(), hint: hint.into(), index: None }
    }

    pub(super) fn at(mut self, index: usize) -> Self {
        self.index = Some(index);
        self
    }
}
