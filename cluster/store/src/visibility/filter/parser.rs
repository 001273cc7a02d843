//! From words to a [`Query`]: a Pratt parser over conditions.
//!
//! Depth and number of conditions are bounded, so that neither this parser nor anything that walks its result can be made
//! to run out of stack.

use super::{
    Comparison, Condition, Order, Query, Value,
    attribute::{Attribute, Kind},
    lexer::{Shortened, Token, TokenKind, tokens},
    literal,
};

/// Longest query, in bytes.
const MAX_LENGTH: usize = 64 << 10;
/// Parentheses and NOTs inside one another.
const MAX_DEPTH: usize = 50;
/// Comparisons in a query.
const MAX_CONDITIONS: usize = 200;
/// Attributes to order by.
const MAX_ORDERS: usize = 4;

/// Read a query.
///
/// # Errors
///
/// A sentence that names the word or attribute that is wrong.
pub fn parse(query: &str) -> Result<Query, String> {
    if query.len() > MAX_LENGTH {
        return Err(format!("invalid query: it has {} bytes, and {MAX_LENGTH} are allowed", query.len()));
    }
    let tokens = tokens(query).map_err(|text| format!("invalid query: malformed SQL query: {text}"))?;
    let mut parser = Parser { tokens, next: 0, depth: 0, conditions: 0 };
    parser.query().map_err(|text| format!("invalid query: {text}"))
}

struct Parser {
    /// Ends with an end.
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
    conditions: usize,
}

/// How tightly an operator binds.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
enum Power {
    Or,
    And,
    Not,
}

/// Words that end or divide conditions and so are no names.
const WORDS: [&str; 11] = ["AND", "OR", "NOT", "IN", "IS", "NULL", "BETWEEN", "STARTS_WITH", "GROUP", "ORDER", "BY"];

impl Parser {
    fn query(&mut self) -> Result<Query, String> {
        let mut query = Query::default();
        if !matches!(self.peek(), TokenKind::End) && !self.is("GROUP") && !self.is("ORDER") {
            query.condition = Some(self.condition(Power::Or)?);
        }
        if self.accept("GROUP") {
            self.expect("BY")?;
            let attribute = self.attribute()?;
            if attribute != Attribute::ExecutionStatus {
                return Err(format!(
                    "operation is not supported: 'GROUP BY' clause is only supported for ExecutionStatus, not {}",
                    attribute.name()
                ));
            }
            query.group_by = Some(attribute);
            if matches!(self.peek(), TokenKind::Comma) {
                return Err("operation is not supported: 'GROUP BY' clause supports only a single field".into());
            }
        }
        if self.accept("ORDER") {
            self.expect("BY")?;
            loop {
                let attribute = self.attribute()?;
                let descending = self.accept("DESC");
                if !descending {
                    self.accept("ASC");
                }
                query.order_by.push(Order { attribute, descending });
                if query.order_by.len() > MAX_ORDERS {
                    return Err(format!("operation is not supported: 'ORDER BY' of more than {MAX_ORDERS} attributes"));
                }
                if !matches!(self.peek(), TokenKind::Comma) {
                    break;
                }
                self.next += 1;
            }
        }
        for word in ["LIMIT", "HAVING", "OFFSET"] {
            if self.is(word) {
                return Err(format!("operation is not supported: '{word}' clause"));
            }
        }
        match self.peek() {
            TokenKind::End => Ok(query),
            _ => Err(self.unexpected()),
        }
    }

    fn condition(&mut self, power: Power) -> Result<Condition, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("operation is not supported: conditions nested deeper than {MAX_DEPTH}"));
        }
        let mut left = self.operand()?;
        loop {
            let (operator, is_and) = match () {
                () if self.is("AND") => (Power::And, true),
                () if self.is("OR") => (Power::Or, false),
                () => break,
            };
            if operator < power {
                break;
            }
            self.next += 1;
            // What binds more tightly than this operator belongs to its right side.
            let right = self.condition(if is_and { Power::Not } else { Power::And })?;
            left = match (left, is_and) {
                (Condition::All(mut parts), true) => {
                    parts.push(right);
                    Condition::All(parts)
                }
                (Condition::Any(mut parts), false) => {
                    parts.push(right);
                    Condition::Any(parts)
                }
                (left, true) => Condition::All(vec![left, right]),
                (left, false) => Condition::Any(vec![left, right]),
            };
        }
        self.depth -= 1;
        Ok(left)
    }

    fn operand(&mut self) -> Result<Condition, String> {
        if self.accept("NOT") {
            return Ok(Condition::Not(Box::new(self.condition(Power::Not)?)));
        }
        if matches!(self.peek(), TokenKind::Open) {
            self.next += 1;
            let inside = self.condition(Power::Or)?;
            if !matches!(self.peek(), TokenKind::Close) {
                return Err(self.unexpected());
            }
            self.next += 1;
            return Ok(inside);
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Condition, String> {
        self.conditions += 1;
        if self.conditions > MAX_CONDITIONS {
            return Err(format!("operation is not supported: more than {MAX_CONDITIONS} conditions"));
        }
        if let TokenKind::Text(_) | TokenKind::Number(_) = self.peek() {
            return Err(format!("invalid expression: {} stands where a search attribute should", self.peek()));
        }
        let attribute = self.attribute()?;
        if self.accept("IS") {
            let negated = self.accept("NOT");
            if !self.accept("NULL") {
                return Err(format!("operation is not supported: 'IS' with {}", self.peek()));
            }
            return Ok(negate(negated, Condition::IsNull(attribute)));
        }
        let negated = self.accept("NOT");
        if self.accept("BETWEEN") {
            let low = self.value(attribute)?;
            self.expect("AND")?;
            let high = self.value(attribute)?;
            return Ok(negate(negated, Condition::Between(attribute, low, high)));
        }
        if self.accept("IN") {
            return Ok(negate(negated, Condition::In(attribute, self.values(attribute)?)));
        }
        if self.accept("STARTS_WITH") {
            if attribute.kind() != Kind::Keyword {
                return Err(format!(
                    "operation is not supported: operator 'STARTS_WITH' not supported for {} type search attribute '{}'",
                    type_name(attribute),
                    attribute.name()
                ));
            }
            let Value::Text(prefix) = self.value(attribute)? else { unreachable!("keywords are text") };
            return Ok(negate(negated, Condition::StartsWith(attribute, prefix)));
        }
        if negated {
            return Err(self.unexpected());
        }
        let comparison = match self.peek() {
            TokenKind::Sign("=") => Comparison::Equal,
            TokenKind::Sign("!=" | "<>") => Comparison::NotEqual,
            TokenKind::Sign("<") => Comparison::Less,
            TokenKind::Sign("<=") => Comparison::LessOrEqual,
            TokenKind::Sign(">") => Comparison::Greater,
            TokenKind::Sign(">=") => Comparison::GreaterOrEqual,
            TokenKind::Sign(sign) => return Err(format!("operation is not supported: operator '{sign}'")),
            TokenKind::Word(word)
                if ["LIKE", "REGEXP", "RLIKE"].iter().any(|other| word.eq_ignore_ascii_case(other)) =>
            {
                return Err(format!("operation is not supported: operator '{}'", word.to_lowercase()));
            }
            TokenKind::Open => {
                return Err(format!("operation is not supported: function '{}'", attribute.name()));
            }
            _ => return Err(self.unexpected()),
        };
        self.next += 1;
        Ok(Condition::Compare(attribute, comparison, self.value(attribute)?))
    }

    fn attribute(&mut self) -> Result<Attribute, String> {
        let name = match self.peek() {
            TokenKind::Quoted(name) => name.clone(),
            TokenKind::Word(word) if !WORDS.iter().any(|other| word.eq_ignore_ascii_case(other)) => word.clone(),
            _ => return Err(self.unexpected()),
        };
        if matches!(self.tokens.get(self.next + 1), Some(Token { kind: TokenKind::Open, .. })) {
            return Err(format!("operation is not supported: function '{}'", Shortened(&name)));
        }
        let attribute = Attribute::named(&name).ok_or_else(|| {
            format!("invalid expression: column name '{}' is not a valid search attribute", Shortened(&name))
        })?;
        self.next += 1;
        Ok(attribute)
    }

    fn value(&mut self, attribute: Attribute) -> Result<Value, String> {
        match self.peek() {
            TokenKind::Text(_) | TokenKind::Number(_) => {
                let value = literal::value(attribute, self.peek())?;
                self.next += 1;
                Ok(value)
            }
            TokenKind::Word(word) if self.tokens[self.next + 1].kind == TokenKind::Open => {
                Err(format!("operation is not supported: function '{}'", Shortened(word)))
            }
            TokenKind::Word(word) if ["TRUE", "FALSE"].iter().any(|other| word.eq_ignore_ascii_case(other)) => {
                literal::value(attribute, self.peek())
            }
            TokenKind::Word(word) => Err(format!(
                "invalid expression: '{}' stands where a value of {} should: text goes in quotes",
                Shortened(word),
                attribute.name()
            )),
            _ => Err(self.unexpected()),
        }
    }

    fn values(&mut self, attribute: Attribute) -> Result<Vec<Value>, String> {
        if !matches!(self.peek(), TokenKind::Open) {
            return Err(self.unexpected());
        }
        let mut values = Vec::new();
        loop {
            self.next += 1;
            values.push(self.value(attribute)?);
            match self.peek() {
                TokenKind::Comma => {}
                TokenKind::Close => break,
                _ => return Err(self.unexpected()),
            }
        }
        self.next += 1;
        Ok(values)
    }

    fn peek(&self) -> &TokenKind {
        // Nothing is read beyond the end.
        &self.tokens[self.next.min(self.tokens.len() - 1)].kind
    }

    fn is(&self, word: &str) -> bool {
        matches!(self.peek(), TokenKind::Word(found) if found.eq_ignore_ascii_case(word))
    }

    fn accept(&mut self, word: &str) -> bool {
        let accepted = self.is(word);
        self.next += usize::from(accepted);
        accepted
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        if self.accept(word) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> String {
        let token = &self.tokens[self.next.min(self.tokens.len() - 1)];
        format!("malformed SQL query: syntax error at position {} near {}", token.at + 1, token.kind)
    }
}

fn negate(negated: bool, condition: Condition) -> Condition {
    if negated { Condition::Not(Box::new(condition)) } else { condition }
}

fn type_name(attribute: Attribute) -> &'static str {
    match attribute.kind() {
        Kind::Keyword | Kind::Status => "Keyword",
        Kind::Int | Kind::Duration => "Int",
        Kind::Datetime => "Datetime",
    }
}
