//! Words of a query.

use std::fmt;

/// A word, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    /// Bytes before it.
    pub(super) at: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    /// A name, or a word of the language.
    Word(String),
    /// A name between backquotes, never a word of the language.
    Quoted(String),
    /// A literal between quotes.
    Text(String),
    /// A literal number, as written.
    Number(String),
    /// `=`, `!=`, `<`, `<=`, `>`, `>=`, or another sign that stands where one of these would.
    Sign(&'static str),
    Open,
    Close,
    Comma,
    End,
}

impl fmt::Display for TokenKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) | Self::Quoted(text) | Self::Number(text) => write!(f, "'{}'", Shortened(text)),
            Self::Text(text) => write!(f, "\"{}\"", Shortened(text)),
            Self::Sign(text) => write!(f, "'{text}'"),
            Self::Open => f.write_str("'('"),
            Self::Close => f.write_str("')'"),
            Self::Comma => f.write_str("','"),
            Self::End => f.write_str("the end"),
        }
    }
}

/// Text from a caller, in a message.
pub(super) struct Shortened<'a>(pub(super) &'a str);

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(60) {
            Some((end, _)) => write!(f, "{}...", self.0[..end].escape_debug()),
            None => write!(f, "{}", self.0.escape_debug()),
        }
    }
}

/// Longer signs first.
const SIGNS: [&str; 17] = ["<=>", "!=", "<>", "<=", ">=", "->", "=", "<", ">", "+", "-", "*", "/", "%", "!", "&", "|"];

/// The words of a query, an end after them.
pub(super) fn tokens(query: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = query;
    loop {
        rest = rest.trim_start();
        let at = query.len() - rest.len();
        let Some(first) = rest.chars().next() else {
            tokens.push(Token { kind: TokenKind::End, at });
            return Ok(tokens);
        };
        let begins_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        let (kind, length) = match first {
            '(' => (TokenKind::Open, 1),
            ')' => (TokenKind::Close, 1),
            ',' => (TokenKind::Comma, 1),
            '\'' | '"' | '`' => {
                let (text, length) = quoted(rest, first)
                    .ok_or_else(|| format!("syntax error at position {}: the {first} is never closed", at + 1))?;
                (if first == '`' { TokenKind::Quoted(text) } else { TokenKind::Text(text) }, length)
            }
            '-' | '.' if begins_number(&rest[1..]) => number(rest),
            _ if first.is_ascii_digit() => number(rest),
            _ if first.is_alphabetic() || first == '_' => {
                let inside = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
                let length = rest.find(|c| !inside(c)).unwrap_or(rest.len());
                (TokenKind::Word(rest[..length].to_owned()), length)
            }
            _ => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => (TokenKind::Sign(sign), sign.len()),
                None => return Err(format!("syntax error at position {} near '{}'", at + 1, first.escape_debug())),
            },
        };
        tokens.push(Token { kind, at });
        rest = &rest[length..];
    }
}

fn number(rest: &str) -> (TokenKind, usize) {
    let inside = |(at, c): (usize, char)| {
        let after_exponent = || rest[..at].ends_with(['e', 'E']);
        c.is_ascii_alphanumeric() || c == '.' || c == '-' && at == 0 || matches!(c, '+' | '-') && after_exponent()
    };
    let length = rest.char_indices().find(|part| !inside(*part)).map_or(rest.len(), |(at, _)| at);
    (TokenKind::Number(rest[..length].to_owned()), length)
}

/// The text between two quotes, and the length of all of it. A quote inside is doubled or follows a backslash.
fn quoted(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut inside = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = inside.next() {
        if c == quote {
            if inside.next_if(|(_, next)| *next == quote).is_none() {
                return Some((text, at + quote.len_utf8()));
            }
            text.push(quote);
        } else if c == '\\' && quote != '`' {
            let (_, escaped) = inside.next()?;
            text.push(match escaped {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                '0' => '\0',
                other => other,
            });
        } else {
            text.push(c);
        }
    }
    None
}
