//! Recipes as they stand in a file, against a vendor on loopback that answers as a test says.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{io::AsyncWriteExt, net::TcpListener, sync::Barrier};

use crate::credentials::{
    Credential, Fetch, FetchError, Linked, Source, Subject,
    grants::tests::build_on,
    tests::http::{answer, read_request},
};

mod canary;
mod captures;
mod chains;
mod cookies;
mod encodings;
mod expiries;
mod flow;

mod hostile;
mod load;
mod outputs;
mod vendors;

/// A server that answers each request as a script says, and remembers what it was sent.
struct Vendor {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// One request.
#[derive(Clone, Debug)]
struct Seen {
    method: String,
    target: String,
    headers: BTreeMap<String, String>,
    body: String,
    /// How many came before it.
    number: usize,
}

impl Seen {
    fn parse(text: &str, number: usize) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = head.split("\r\n");
        let mut first = lines
            .next()
            .unwrap_or_default()
            .split(' ')
            .map(str::to_owned);
        let headers = lines.filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_ascii_lowercase(), value.to_owned()))
        });
        Self {
            method: first.next().unwrap_or_default(),
            target: first.next().unwrap_or_default(),
            headers: headers.collect(),
            body: body.to_owned(),
            number,
        }
    }

    fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

impl Vendor {
    async fn start(script: impl Fn(&Seen) -> String + Send + Sync + 'static) -> Self {
        Self::meeting(1, script).await
    }

    /// Answers only once so many requests have come.
    async fn meeting(
        guests: usize,
        script: impl Fn(&Seen) -> String + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, script) = (Arc::clone(&seen), Arc::new(script));
        let barrier = Arc::new(Barrier::new(guests));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (log, script) = (Arc::clone(&log), Arc::clone(&script));
                let barrier = Arc::clone(&barrier);
                tokio::spawn(async move {
                    let text = read_request(&mut stream).await;
                    let request = {
                        let mut log = log.lock().unwrap();
                        let request = Seen::parse(&text, log.len());
                        log.push(request.clone());
                        request
                    };
                    barrier.wait().await;
                    let _ = stream.write_all(script(&request).as_bytes()).await;
                });
            }
        });
        Self { url, seen }
    }

    /// Always 200 with this body.
    async fn saying(body: impl Into<String>) -> Self {
        let body = body.into();
        Self::start(move |_| json(&body)).await
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn paths(&self) -> Vec<String> {
        let seen = self.seen();
        seen.iter().map(|it| it.path().to_owned()).collect()
    }

    /// The recipe, with this vendor's address for `VENDOR`.
    fn recipe(&self, yaml: &str) -> Arc<dyn Source> {
        built(&yaml.replace("VENDOR", &self.url))
    }

    async fn obtain(&self, yaml: &str) -> Result<Credential, FetchError> {
        self.recipe(yaml).fetch(Fetch::FIRST).await
    }

    /// What one call's captures are worth: `capture` stands for those of the only step, `token` for the output.
    async fn capture(&self, capture: &str) -> Result<String, FetchError> {
        let yaml = format!(
            "{{ steps: [{{ name: s, request: {{ url: VENDOR/ }}, status: [200, 302], capture: {{ {capture} }} }}], \
             outputs: {{ token: '{{{{ s.token }}}}' }} }}"
        );
        let credential = self.obtain(&yaml).await?;
        Ok(part(&credential, "token"))
    }
}

fn built(yaml: &str) -> Arc<dyn Source> {
    built_on(&[], yaml)
}

fn built_on(links: &[Linked], yaml: &str) -> Arc<dyn Source> {
    match try_build(links, yaml) {
        Ok(source) => source,
        Err(why) => panic!("{why} in {yaml}"),
    }
}

fn refused(yaml: &str) -> String {
    match try_build(&[], yaml) {
        Ok(_) => panic!("it was accepted: {yaml}"),
        Err(why) => why,
    }
}

fn try_build(links: &[Linked], yaml: &str) -> Result<Arc<dyn Source>, String> {
    // The platform's authorities, of no use on loopback, take longer to read than a test runs.
    let tls = "tls: { ca: client.pem }";
    let yaml = match yaml.strip_prefix('{') {
        Some(flow) => format!("{{ {tls}, {flow}"),
        None => format!("{tls}\n{}", yaml.trim_start()),
    };
    build_on(links, "recipe", &yaml).map(|(source, _)| source)
}

/// 200 with JSON.
fn json(body: &str) -> String {
    answer("200 OK", "Content-Type: application/json\r\n", body)
}

fn part(credential: &Credential, name: &str) -> String {
    let part = credential.part(name).expect(name);
    part.expose().to_owned()
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn as_user<'a>(subject: &'a Subject) -> Fetch<'a> {
    Fetch {
        subject,
        ..Fetch::FIRST
    }
}
