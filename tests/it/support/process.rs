//! The program itself, as its users start it.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{Answer, Client, PATIENCE, SECRET};

/// A `bearerd run` that listens, and ends with the test.
pub struct Process {
    child: Child,
    address: SocketAddr,
    lines: mpsc::Receiver<String>,
    log: String,
}

/// The program with this file and these words; `${SECRET}` is there.
pub fn bearerd(config: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bearerd"));
    command
        .args(words)
        .env("SECRET", SECRET)
        .env("BEARERD_CONFIG", config)
        .env_remove("BEARERD_LOG");
    command
}

impl Process {
    /// Runs it with this file and one worker.
    #[track_caller]
    pub fn start(config: &Path) -> Self {
        Self::run(bearerd(config, &[]))
    }

    /// The same as `command` says, which tells where the file is.
    #[track_caller]
    pub fn run(mut command: Command) -> Self {
        command.args(["run", "--workers", "1", "--log", "json"]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut process = Self {
            child,
            address: ([127, 0, 0, 1], 0).into(),
            lines,
            log: String::new(),
        };
        let line = process.wait_for("\"message\":\"listening\"");
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        process.address = line["address"].as_str().unwrap().parse().unwrap();
        process
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// A new connection.
    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// The answer to a plain GET.
    #[track_caller]
    pub fn get(&self, target: &str) -> Answer {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.connect().send(request).answer()
    }

    /// The next line of the log that has `part`.
    #[track_caller]
    pub fn wait_for(&mut self, part: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(2 * PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no {part} in {}", self.log));
            self.log.push_str(&line);
            self.log.push('\n');
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end: how, and the whole log.
    pub fn ended(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        self.log.extend(self.lines.iter().map(|line| line + "\n"));
        (status, std::mem::take(&mut self.log))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
