//! A token endpoint that answers each call by a script.

use std::{net::SocketAddr, time::Duration};

use super::{Exchange, Gate, Message, Upstream, canary};

/// A token endpoint that counts its calls.
pub struct TokenEndpoint {
    server: Upstream,
}

/// What one call gets.
#[derive(Clone, Debug)]
pub enum TokenAnswer {
    /// A token of the call's number, for so many seconds.
    Token(u64),
    /// This token, for so many seconds.
    Same(String, u64),
    /// A status, more fields (each with its line end) and a body.
    Status(u16, String, String),
    /// These bytes, and the end of the connection.
    Raw(Vec<u8>),
    /// A reset.
    Reset,
    /// Nothing at all.
    Silence,
    /// The rest, once the gate is open.
    Held(Gate, Box<TokenAnswer>),
    /// A byte of a good answer now and then.
    Drip(Duration),
    /// 200 with this many spaces.
    Huge(usize),
}

impl TokenAnswer {
    /// A status alone.
    pub fn status(status: u16) -> Self {
        Self::Status(status, String::new(), String::new())
    }

    /// 429, or another status, with the time of the next attempt.
    pub fn try_again(status: u16, after: &str) -> Self {
        Self::Status(status, format!("Retry-After: {after}\r\n"), String::new())
    }

    /// 400 with an error of RFC 6749.
    pub fn error(code: &str) -> Self {
        Self::Status(400, JSON.into(), format!(r#"{{"error":"{code}"}}"#))
    }

    /// 200 with this body.
    pub fn json(body: &str) -> Self {
        Self::Status(200, JSON.into(), body.into())
    }

    /// Another place to ask.
    pub fn redirect(status: u16, to: SocketAddr) -> Self {
        let location = format!("Location: http://{to}/token\r\n");
        Self::Status(status, location, String::new())
    }
}

impl TokenEndpoint {
    /// Answers call `n` (from 1) as `script` says.
    pub fn start(script: impl Fn(usize) -> TokenAnswer + Send + Sync + 'static) -> Self {
        let server = Upstream::start(move |exchange| {
            let call = exchange.number + 1;
            answer(exchange, call, script(call));
        });
        Self { server }
    }

    /// Always a new token, for an hour.
    pub fn good() -> Self {
        Self::start(|_| TokenAnswer::Token(3600))
    }

    /// Always this answer.
    pub fn always(answer: TokenAnswer) -> Self {
        Self::start(move |_| answer.clone())
    }

    /// One answer after the other; the last one stays.
    pub fn in_turn<const N: usize>(answers: [TokenAnswer; N]) -> Self {
        Self::start(move |call| answers[call.min(N) - 1].clone())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// How many calls came.
    pub fn calls(&self) -> usize {
        self.server.count()
    }

    /// The calls.
    pub fn requests(&self) -> Vec<Message> {
        self.server.requests()
    }
}

fn answer(exchange: &mut Exchange<'_>, call: usize, script: TokenAnswer) {
    match script {
        TokenAnswer::Token(life) => {
            exchange.answer(200, JSON, &body(&canary::token(call), life));
        }
        TokenAnswer::Same(token, life) => exchange.answer(200, JSON, &body(&token, life)),
        TokenAnswer::Status(status, fields, text) => exchange.answer(status, &fields, &text),
        TokenAnswer::Raw(bytes) => {
            exchange.write(bytes);
            exchange.close();
        }
        TokenAnswer::Reset => exchange.reset(),
        TokenAnswer::Silence => {
            exchange.is_abandoned();
        }
        TokenAnswer::Held(gate, then) => {
            gate.pass();
            answer(exchange, call, *then);
        }
        TokenAnswer::Drip(pause) => {
            exchange.write(format!(
                "HTTP/1.1 200 OK\r\n{JSON}Content-Length: 10000\r\n\r\n"
            ));
            while exchange.try_write(" ") {
                std::thread::sleep(pause);
            }
            exchange.close();
        }
        TokenAnswer::Huge(length) => {
            exchange.write(format!(
                "HTTP/1.1 200 OK\r\n{JSON}Content-Length: {length}\r\n\r\n"
            ));
            let piece = vec![b' '; 64 * 1024];
            for _ in 0..length / piece.len() {
                if !exchange.try_write(&piece) {
                    break;
                }
            }
            exchange.close();
        }
    }
}

fn body(token: &str, life: u64) -> String {
    format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{life}}}"#)
}

const JSON: &str = "Content-Type: application/json\r\n";
