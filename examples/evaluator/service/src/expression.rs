//! Sums, products, parentheses. Recursive on purpose: a line that is nested too deep is the end of this process, and of nothing else.

use std::iter::Peekable;
use std::str::Chars;

/// The value of an expression such as `1 + 2 * (3 - 4)`, or why it has none.
pub fn evaluate(text: &str) -> Result<f64, String> {
    let mut parser = Parser { rest: text.chars().peekable() };
    let value = parser.sum()?;
    match parser.next() {
        None => Ok(value),
        Some(other) => Err(format!("`{other}` is not expected here")),
    }
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
}

impl Parser<'_> {
    fn peek(&mut self) -> Option<char> {
        while self.rest.next_if(|c| c.is_whitespace()).is_some() {}
        self.rest.peek().copied()
    }

    fn next(&mut self) -> Option<char> {
        self.peek();
        self.rest.next()
    }

    fn sum(&mut self) -> Result<f64, String> {
        let mut value = self.product()?;
        while let Some(sign @ ('+' | '-')) = self.peek() {
            self.next();
            let other = self.product()?;
            value += if sign == '+' { other } else { -other };
        }
        Ok(value)
    }

    fn product(&mut self) -> Result<f64, String> {
        let mut value = self.atom()?;
        while let Some(sign @ ('*' | '/')) = self.peek() {
            self.next();
            let other = self.atom()?;
            match sign {
                '*' => value *= other,
                _ if other == 0.0 => return Err("division by zero".to_owned()),
                _ => value /= other,
            }
        }
        Ok(value)
    }

    fn atom(&mut self) -> Result<f64, String> {
        match self.peek() {
            Some('(') => {
                self.next();
                let value = self.sum()?;
                match self.next() {
                    Some(')') => Ok(value),
                    Some(other) => Err(format!("`{other}` where a `)` should be")),
                    None => Err("a `)` is missing at the end".to_owned()),
                }
            }
            Some('-') => {
                self.next();
                Ok(-self.atom()?)
            }
            Some(c) if c.is_ascii_digit() => self.number(),
            Some(other) => Err(format!("`{other}` is no number")),
            None => Err("a number is missing at the end".to_owned()),
        }
    }

    fn number(&mut self) -> Result<f64, String> {
        let mut digits = String::new();
        while let Some(c) = self.rest.next_if(|c| c.is_ascii_digit() || *c == '.') {
            digits.push(c);
        }
        digits.parse().map_err(|_| format!("`{digits}` is no number"))
    }
}

#[cfg(test)]
mod tests {
    use super::evaluate;

    #[test]
    fn values() {
        for (text, value) in [("1 + 2 * 3", 7.0), ("(1+2)*3", 9.0), ("-4 - -5", 1.0), ("10/4", 2.5), ("1.5*2", 3.0)] {
            assert_eq!(evaluate(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn problems() {
        for (text, problem) in [
            ("", "a number is missing at the end"),
            ("(4 - 5", "a `)` is missing at the end"),
            ("6 / 0", "division by zero"),
            ("2 2", "`2` is not expected here"),
            ("1.2.3", "`1.2.3` is no number"),
            ("x", "`x` is no number"),
        ] {
            assert_eq!(evaluate(text), Err(problem.to_owned()), "{text}");
        }
    }
}
