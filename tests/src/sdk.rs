//! The SDKs, each behind the line protocol of its driver (`sdk/python/driver.py`, `sdk/typescript/driver.js`).
//!
//! Both drivers have the same workflows under the same names, so that a scenario is written once and run with each.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    process::{ChildStdin, Command},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Sender},
    },
    thread,
};

use serde_json::{Value, json};

use crate::{
    certificates::Environment,
    process::Process,
    provision,
    wait::{self, DEADLINE},
};

type Answer = Result<Value, String>;

/// Which SDK.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Language {
    /// `temporalio` from PyPI.
    Python,
    /// `@temporalio/*` from npm.
    TypeScript,
}

/// An SDK's driver.
#[derive(Debug)]
pub struct Sdk {
    name: &'static str,
    input: Mutex<ChildStdin>,
    waiting: Arc<Mutex<HashMap<u64, Sender<Answer>>>>,
    asked: AtomicU64,
    /// After `input`: dropping that lets it end by itself.
    process: Process,
}

impl Sdk {
    /// Start the driver.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    pub fn start(language: Language) -> Self {
        Self::start_with(language, &Environment::default())
    }

    /// The same, for servers that are reached by TLS.
    ///
    /// # Panics
    ///
    /// As [`Self::start`].
    #[must_use]
    pub fn start_with(language: Language, environment: &Environment) -> Self {
        let (name, mut command): (_, Command) = match language {
            Language::Python => ("python", provision::python()),
            Language::TypeScript => ("typescript", provision::typescript()),
        };
        command.envs(environment.0.iter().cloned());
        // A test binary may run several drivers of one language at once.
        static STARTED: AtomicU64 = AtomicU64::new(1);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let log = provision::scratch(&format!("{name}-{number}")).join("log");
        let mut process = Process::start(command, &log, true);
        let (input, output) = process.pipes();
        let waiting = Arc::new(Mutex::new(HashMap::<u64, Sender<Answer>>::new()));
        let answers = Arc::clone(&waiting);
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // The SDKs' core warns on standard output.
                let Some((call, answer)) = parse(&line) else { continue };
                if let Some(asker) = answers.lock().expect("no panic here").remove(&call) {
                    // Who asked may have given up.
                    let _ = asker.send(answer);
                }
            }
            // Dropping the senders tells those who wait that no answer will come.
            answers.lock().expect("no panic here").clear();
        });
        Self { name, input: Mutex::new(input), waiting, asked: AtomicU64::new(0), process }
    }

    /// Have the driver do one operation.
    ///
    /// # Errors
    ///
    /// What the SDK raised, as text.
    ///
    /// # Panics
    ///
    /// When no answer comes.
    #[track_caller]
    pub fn ask(&self, operation: &str, arguments: Value) -> Answer {
        let mut request = arguments;
        let call = self.asked.fetch_add(1, Ordering::Relaxed);
        (request["call"], request["do"]) = (call.into(), operation.into());
        let (asker, answer) = mpsc::channel();
        self.waiting.lock().expect("no panic here").insert(call, asker);
        writeln!(self.input.lock().expect("no panic here"), "{request}").expect("write to the driver");
        answer.recv_timeout(DEADLINE).unwrap_or_else(|error| {
            let what = format!("{operation} of {}", request["id"]);
            panic!("{} did not answer {what}: {error}\n{}", self.name, self.process.last_words())
        })
    }

    /// Start a worker on a queue of the server at `address`.
    #[track_caller]
    pub fn work(&self, name: &str, address: &str, queue: &str) {
        self.ask("work", json!({"name": name, "address": address, "queue": queue})).expect("start a worker");
    }

    /// Start a workflow on a queue of the server at `address`.
    #[track_caller]
    pub fn run<'a>(&'a self, address: &'a str, queue: &str, id: &str, workflow: &str, args: Value) -> Run<'a> {
        let start = json!({"address": address, "queue": queue, "id": id, "workflow": workflow, "args": args});
        self.ask("start", start).expect("start a workflow");
        self.known(address, id)
    }

    /// A workflow that was started before.
    #[must_use]
    pub fn known<'a>(&'a self, address: &'a str, id: &str) -> Run<'a> {
        Run { sdk: self, address, id: id.to_owned() }
    }
}

/// The answer in a line, if it is one.
fn parse(line: &str) -> Option<(u64, Answer)> {
    let mut answer: Value = serde_json::from_str(line).ok()?;
    let call = answer["call"].as_u64()?;
    match answer.get("error") {
        Some(error) => Some((call, Err(error.as_str().unwrap_or_default().to_owned()))),
        None => Some((call, Ok(answer["answer"].take()))),
    }
}

/// A workflow as one client sees it.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    sdk: &'a Sdk,
    address: &'a str,
    /// Workflow id.
    pub id: String,
}

impl<'a> Run<'a> {
    /// The same workflow through another server.
    #[must_use]
    pub fn at(&self, address: &'a str) -> Self {
        Self { address, ..self.clone() }
    }

    /// Ask the driver for an operation on this workflow.
    ///
    /// # Errors
    ///
    /// What the SDK raised, as text.
    #[track_caller]
    pub fn ask(&self, operation: &str, arguments: Value) -> Answer {
        let mut arguments = arguments;
        (arguments["address"], arguments["id"]) = (self.address.into(), self.id.as_str().into());
        self.sdk.ask(operation, arguments)
    }

    /// Wait for the end: the result, or how else it ended under `failure`.
    #[track_caller]
    pub fn result(&self) -> Value {
        self.ask("result", json!({})).expect("wait for the result")
    }

    /// Send a signal.
    #[track_caller]
    pub fn signal(&self, name: &str, args: Value) {
        self.ask("signal", json!({"name": name, "args": args})).expect("signal");
    }

    /// Ask a query.
    #[track_caller]
    pub fn query(&self, name: &str) -> Value {
        self.ask("query", json!({"name": name})).expect("query")
    }

    /// Ask a query until the answer is the expected one.
    #[track_caller]
    pub fn until(&self, query: &str, expected: &Value) {
        wait::until_eq(expected, || self.query(query));
    }

    /// Wait until an activity is with a worker.
    #[track_caller]
    pub fn until_activity_runs(&self) {
        wait::until("a running activity", || {
            let pending = self.ask("pending", json!({})).expect("describe");
            if pending.as_array().is_some_and(|some| !some.is_empty()) { Ok(()) } else { Err(pending) }
        });
    }
}
