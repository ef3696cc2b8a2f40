//! Emphasis, matched as `CommonMark` does it: with a stack of what could open it.

use super::{Inline, Style};

/// Links and emphasis in each other: what is deeper has no further style.
pub(super) const DEEPEST: usize = 32;

/// A part of a text, on the way to an [`Inline`].
pub(super) enum Piece {
    /// Something that is settled, and how deep it is.
    Settled(Inline, usize),
    Run(Run),
}

/// Signs that may open or close emphasis.
pub(super) struct Run {
    pub sign: u8,
    pub count: usize,
    /// As many as there were at first.
    pub whole: usize,
    pub opens: bool,
    pub closes: bool,
}

/// Matches what opens emphasis with what closes it. Says how deep the result is.
pub(super) fn settle(pieces: Vec<Piece>) -> (Vec<Inline>, usize) {
    let mut done: Vec<Piece> = Vec::with_capacity(pieces.len());
    // Below these there is nothing that runs of a kind could close: by sign, whether they open too, and their length.
    let mut nothing_below = [0_usize; 18];
    for piece in pieces {
        let Piece::Run(mut run) = piece else {
            done.push(piece);
            continue;
        };
        let kind = usize::from(run.sign == b'_') + 2 * usize::from(run.sign == b'~');
        let kind = kind * 6 + usize::from(run.opens) * 3 + run.whole % 3;
        while run.closes && run.count > 0 {
            let bottom = nothing_below.get(kind).copied().unwrap_or_default();
            let open = done
                .get(bottom..)
                .unwrap_or_default()
                .iter()
                .rposition(|piece| matches!(piece, Piece::Run(open) if open.matches(&run)));
            let Some(open) = open.map(|open| open + bottom) else {
                nothing_below.get_mut(kind).into_iter().for_each(|below| *below = done.len());
                break;
            };
            let (inside, depth) = flatten(done.split_off(open + 1));
            let Some(Piece::Run(mut opener)) = done.pop() else { break };
            let used = if opener.count >= 2 && run.count >= 2 { 2 } else { 1 };
            opener.count -= used;
            run.count -= used;
            if opener.count > 0 {
                done.push(Piece::Run(opener));
            }
            let style = match (run.sign, used) {
                (b'~', _) => Style::Strike,
                (_, 1) => Style::Emphasis,
                _ => Style::Strong,
            };
            if depth < DEEPEST {
                done.push(Piece::Settled(Inline::Styled(style, inside), depth + 1));
            } else {
                done.extend(inside.into_iter().map(|inline| Piece::Settled(inline, depth)));
            }
            for below in &mut nothing_below {
                *below = (*below).min(open);
            }
        }
        if run.count > 0 {
            done.push(Piece::Run(run));
        }
    }
    flatten(done)
}

impl Run {
    fn matches(&self, closer: &Self) -> bool {
        if self.sign != closer.sign || !self.opens {
            return false;
        }
        if self.sign == b'~' {
            return self.count == closer.count;
        }
        let either = self.closes || closer.opens;
        let thirds = (self.whole + closer.whole).is_multiple_of(3)
            && (!self.whole.is_multiple_of(3) || !closer.whole.is_multiple_of(3));
        !(either && thirds)
    }
}

/// What no emphasis was made of is text; texts beside each other are one.
fn flatten(pieces: Vec<Piece>) -> (Vec<Inline>, usize) {
    let mut inlines: Vec<Inline> = Vec::with_capacity(pieces.len());
    let mut deepest = 0;
    for piece in pieces {
        let inline = match piece {
            Piece::Settled(inline, depth) => {
                deepest = deepest.max(depth);
                inline
            }
            Piece::Run(run) => Inline::Text(std::iter::repeat_n(char::from(run.sign), run.count).collect()),
        };
        match (inlines.last_mut(), inline) {
            (Some(Inline::Text(last)), Inline::Text(text)) => last.push_str(&text),
            (_, inline) => inlines.push(inline),
        }
    }
    (inlines, deepest)
}
