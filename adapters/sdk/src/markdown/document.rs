//! The walk through a document: what each of its parts asks of the writer.

use super::writer::Writer;
use super::{Block, Inline, Item, Style, label_of};

impl Writer<'_> {
    pub fn blocks(&mut self, blocks: &[Block]) {
        for block in blocks {
            if self.full {
                return;
            }
            self.block(block);
        }
    }

    fn block(&mut self, block: &Block) {
        match block {
            Block::Paragraph(text) => {
                self.inlines(text);
                self.block_end();
            }
            Block::Heading(text) => {
                self.style(Style::Strong);
                self.inlines(text);
                self.end_style();
                self.gap(1);
            }
            Block::Quote(blocks) => {
                self.gap(1);
                self.quotes += 1;
                self.blocks(blocks);
                self.quotes -= 1;
                if self.quotes == 0 {
                    self.end_quote();
                }
                self.block_end();
            }
            Block::Code(code) => {
                self.gap(1);
                self.fence(code);
                self.block_end();
            }
            Block::List(first, items) => {
                self.gap(1);
                self.lists.push(*first);
                for item in items {
                    self.item(item);
                }
                self.lists.pop();
                self.indent = self.lists.len();
                self.block_end();
            }
            Block::Rule => {
                self.literal("───");
                self.gap(2);
            }
        }
    }

    /// Blocks stand apart, except in lists.
    fn block_end(&mut self) {
        self.gap(if self.lists.is_empty() { 2 } else { 1 });
    }

    fn item(&mut self, item: &Item) {
        let depth = self.lists.len();
        let [odd, even] = self.dialect.bullets;
        self.bullet = Some(match self.lists.last_mut() {
            Some(Some(number)) => {
                let bullet = format!("{number}. ");
                *number += 1;
                bullet
            }
            _ if depth % 2 == 1 => odd.to_owned(),
            _ => even.to_owned(),
        });
        self.indent = depth;
        if let Some(done) = item.done {
            self.literal(if done { "☑ " } else { "☐ " });
        }
        self.blocks(&item.blocks);
        self.gap(1);
    }

    fn inlines(&mut self, inlines: &[Inline]) {
        for inline in inlines {
            if self.full {
                return;
            }
            match inline {
                Inline::Text(text) => self.text(text),
                Inline::Html(tag) => self.literal(tag),
                Inline::Code(code) => self.code(code),
                Inline::Styled(style, inner) => {
                    self.style(*style);
                    self.inlines(inner);
                    self.end_style();
                }
                Inline::Link(url, inner) => {
                    let mut label = String::new();
                    label_of(inner, &mut label);
                    self.link(url, &label);
                }
                Inline::Break => self.gap += 1,
            }
        }
    }
}
