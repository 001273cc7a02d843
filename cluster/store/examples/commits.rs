//! What a one-activity workflow costs the store: seven transactions, shaped like those of the server.
//!
//! ```text
//! cargo run --release -p store --example commits -- DIRECTORY [WORKFLOWS] [CONCURRENCY ...]
//! ```
//!
//! `DIRECTORY` should lie on a real disk; `memory` measures the memory store. `PAGE` and `CHECKPOINT` in the environment
//! change the tuning.

#![allow(clippy::disallowed_methods, reason = "a program of its own, with the real clock")]
#![allow(clippy::print_stdout, reason = "a program that prints figures")]

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use replicator::{
    entropy::Entropy,
    history::Branch,
    ids::{EventId, NamespaceId, RangeId, RecordVersion, RunKey, ShardId, TaskId, WorkflowKey},
    shard::io::{
        CommitOutcome, CurrentWrite, HistoryWrite, ItemKey, ItemKind, Load, Loaded, RunChange, RunWrite, Transaction,
        TransactionId, VisibilityRecord, VisibilityWrite,
    },
    task::{Category, HistoryTask, TaskKey, TaskKind, TimerTask, TransferTask},
    time::Timestamp,
    version::FailoverVersion,
};
use store::{Spawner, Store, sqlite};

const SHARDS: u32 = 4;
const SECOND: i64 = 1_000_000_000;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().expect("a directory, or `memory`");
    let workflows: usize = arguments.next().map_or(2000, |text| text.parse().expect("a number"));
    let mut concurrencies: Vec<usize> = arguments.map(|text| text.parse().expect("a number")).collect();
    if concurrencies.is_empty() {
        concurrencies = vec![1, 10, 50];
    }
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let mut tuning = sqlite::Tuning::default();
    tuning.page_bytes = number("PAGE").unwrap_or(tuning.page_bytes);
    tuning.checkpoint_pages = number("CHECKPOINT").unwrap_or(tuning.checkpoint_pages);
    println!("{tuning:?}");
    println!(
        "concurrency  transactions/s  us/transaction: user  kernel  CPU-s/1000 workflows  KB written/workflow  file KB"
    );
    for concurrency in concurrencies {
        let path = PathBuf::from(&directory).join(format!("commits-{concurrency}.db"));
        let location = match directory.as_str() {
            "memory" => sqlite::Location::Memory,
            _ => {
                for end in ["", "-wal", "-shm", ".lock"] {
                    let _ = std::fs::remove_file(format!("{}{end}", path.display()));
                }
                sqlite::Location::File(path.clone())
            }
        };
        let spawner: Spawner = Arc::new(|task| drop(tokio::spawn(task)));
        let store = Arc::new(sqlite::open_tuned(&location, &tuning, &spawner).await.expect("opens"));
        let mut ranges = Vec::new();
        for shard in 1..=SHARDS {
            match store.load(ShardId(shard), Load::AcquireShard { leaps: false }).await {
                Loaded::Shard { range, .. } => ranges.push(range),
                other => panic!("{other:?}"),
            }
        }
        let (cpu, written, began) = (cpu_seconds(), written_bytes(), Instant::now());
        let next = Arc::new(AtomicUsize::new(0));
        let mut workers = Vec::new();
        for _ in 0..concurrency {
            let (store, next, ranges) = (store.clone(), next.clone(), ranges.clone());
            workers.push(tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= workflows {
                        return;
                    }
                    workflow(&*store, number, &ranges).await;
                }
            }));
        }
        for worker in workers {
            worker.await.expect("no worker fails");
        }
        store.close().await;
        let seconds = began.elapsed().as_secs_f64();
        let (cpu_then, written) = (cpu, written_bytes() - written);
        let cpu = cpu_seconds();
        let (user, kernel) = (cpu.0 - cpu_then.0, cpu.1 - cpu_then.1);
        let transactions = (workflows * 7) as f64;
        println!(
            "{concurrency:11}  {:14.0}  {:20.1}  {:6.1}  {:20.3}  {:19.1}  {:7}",
            transactions / seconds,
            user * 1e6 / transactions,
            kernel * 1e6 / transactions,
            (user + kernel) * 1000.0 / workflows as f64,
            written as f64 / 1024.0 / workflows as f64,
            std::fs::metadata(&path).map_or(0, |file| file.len() / 1024),
        );
    }
}

/// The seven transactions of a workflow with one activity.
async fn workflow(store: &dyn Store, number: usize, ranges: &[RangeId]) {
    let mut entropy = Entropy::new(number as u64 + 1);
    let namespace = NamespaceId(uuid::Uuid::from_u128(7));
    let workflow = WorkflowKey {
        namespace,
        workflow: format!("order-{:08x}", (number as u32).wrapping_mul(2_654_435_761)).into(),
    };
    let run = RunKey { workflow: workflow.clone(), run: entropy.run_id() };
    let branch = Branch::root(run.run, &mut entropy);
    let shard = ShardId(number as u32 % SHARDS + 1);
    let range = ranges[shard.0 as usize - 1];
    let mut id = (number as i64) * 100;
    let mut previous = TaskId(0);
    let now = number as i64 * SECOND;
    let record = |close: Option<i64>, status| VisibilityRecord {
        run: run.clone(),
        workflow_type: "OrderWorkflow".into(),
        task_queue: "orders".into(),
        status,
        start_time: Timestamp(now),
        execution_time: Timestamp(now),
        close_time: close.map(Timestamp),
        history_length: 11,
        history_size: 1500,
        state_transitions: 7,
        memo: Bytes::new(),
        search_attributes: Bytes::new(),
        parent: None,
        root: None,
    };
    let item = |kind, bytes: usize| {
        (ItemKey { kind, key: Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 5]) }, Bytes::from(vec![b'i'; bytes]))
    };
    let task = |id: i64, fire_time, kind| HistoryTask {
        key: TaskKey { fire_time: Timestamp(fire_time), id: TaskId(id) },
        run: run.clone(),
        version: FailoverVersion(1),
        kind,
    };
    let wft = |scheduled| TaskKind::Transfer(TransferTask::Workflow { scheduled: EventId(scheduled), attempt: 1 });
    let activity = TaskKind::Transfer(TransferTask::Activity { scheduled: EventId(5), attempt: 1 });
    let timeout =
        |scheduled| TaskKind::Timer(TimerTask::WorkflowTaskStartToClose { scheduled: EventId(scheduled), attempt: 1 });
    let done = |id: i64| (Category::Transfer, TaskKey { fire_time: Timestamp::ZERO, id: TaskId(id) });
    let base = id;
    // Events, bytes of them, and what else changes.
    let steps: [(i64, i64, usize); 7] =
        [(1, 3, 520), (3, 4, 110), (4, 6, 420), (6, 7, 120), (7, 9, 230), (9, 10, 110), (10, 12, 210)];
    for (step, (first, next, bytes)) in steps.into_iter().enumerate() {
        id += 10;
        let mut upserts = Vec::new();
        let mut deletes = Vec::new();
        let (mut tasks, mut completed) = (Vec::new(), Vec::new());
        let mut visibility = Vec::new();
        match step {
            0 => {
                upserts.push(item(ItemKind::Start, 380));
                tasks.push(task(base + 1, 0, wft(2)));
                tasks.push(task(base + 2, now + 3600 * SECOND, TaskKind::Timer(TimerTask::RunTimeout)));
                visibility.push(VisibilityWrite::Put(Box::new(record(None, 1))));
            }
            1 => {
                completed.push(done(base + 1));
                tasks.push(task(base + 3, now + 10 * SECOND, timeout(2)));
            }
            2 => {
                completed
                    .push((Category::Timer, TaskKey { fire_time: Timestamp(now + 10 * SECOND), id: TaskId(base + 3) }));
                upserts.push(item(ItemKind::Activity, 190));
                tasks.push(task(base + 4, 0, activity.clone()));
                tasks.push(task(base + 5, now + 60 * SECOND, TaskKind::Timer(TimerTask::ActivityTimeout)));
            }
            3 => {
                completed.push(done(base + 4));
                upserts.push(item(ItemKind::Activity, 230));
            }
            4 => {
                deletes.push(item(ItemKind::Activity, 0).0);
                completed
                    .push((Category::Timer, TaskKey { fire_time: Timestamp(now + 60 * SECOND), id: TaskId(base + 5) }));
                tasks.push(task(base + 6, 0, wft(8)));
            }
            5 => {
                completed.push(done(base + 6));
                tasks.push(task(base + 7, now + 20 * SECOND, timeout(8)));
            }
            _ => {
                completed
                    .push((Category::Timer, TaskKey { fire_time: Timestamp(now + 20 * SECOND), id: TaskId(base + 7) }));
                completed.push((
                    Category::Timer,
                    TaskKey { fire_time: Timestamp(now + 3600 * SECOND), id: TaskId(base + 2) },
                ));
                tasks.push(task(base + 8, now + 86_400 * SECOND, TaskKind::Timer(TimerTask::Retention)));
                visibility.push(VisibilityWrite::Put(Box::new(record(Some(now + SECOND), 2))));
            }
        }
        let transaction = Transaction {
            id: TransactionId(id as u64),
            shard,
            range,
            current: (step == 0).then(|| CurrentWrite {
                workflow: workflow.clone(),
                expected: None,
                next: Some(run.run),
            }),
            runs: vec![RunWrite {
                run: run.clone(),
                expected: (step > 0).then_some(RecordVersion(step as i64)),
                change: RunChange::Put {
                    record: RecordVersion(step as i64 + 1),
                    state: Bytes::from(vec![b's'; 420]),
                    upserts,
                    deletes,
                },
            }],
            history: vec![HistoryWrite {
                tree: run.run,
                branch: branch.id,
                node: EventId(first),
                next: EventId(next),
                transaction: TaskId(id),
                previous,
                events: Bytes::from(vec![b'e'; bytes]),
            }],
            tasks,
            completed,
            replicated: None,
            visibility,
            shard_state: None,
        };
        previous = TaskId(id);
        assert_eq!(store.commit(transaction).await, Ok(CommitOutcome::Committed));
    }
}

fn cpu_seconds() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
    // User and system time, in hundredths of a second.
    (ticks(11) / 100.0, ticks(12) / 100.0)
}

fn written_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|text| text.trim().parse().ok()).unwrap_or_default()
}
