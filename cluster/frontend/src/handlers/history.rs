//! Histories of runs, forward and in reverse (api 3.12).
//!
//! A reading has an end: the event after the last one that was there when it began. Its tokens pin the run, the end and the
//! branch, so that the pages of one reading fit together whatever happens meanwhile. A reader who waits begins a new reading
//! each time he has reached the end of one.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use proto::temporal::api::{
    enums::v1::HistoryEventFilterType as Filter,
    history::v1::History,
    workflowservice::v1::{
        GetWorkflowExecutionHistoryRequest, GetWorkflowExecutionHistoryReverseRequest,
        GetWorkflowExecutionHistoryReverseResponse,
    },
};
use replicator::{
    ids::{EventId, RunId, WorkflowKey},
    shard::io::RunView,
    time::Timestamp,
    version::VersionHistories,
};
use tokio::{select, time::sleep};

use super::Call;
use crate::{
    answer::{HistoryPage, RawHistory},
    errors::Error,
    frontend::Frontend,
    tokens::{Direction, HistoryToken, Malformed},
    validation,
};

pub(super) async fn forward(
    frontend: &Frontend,
    call: Call<'_>,
    request: GetWorkflowExecutionHistoryRequest,
) -> Result<HistoryPage, Error> {
    let (workflow, run) = validation::execution(call.id(), request.execution.as_ref())?;
    let token = token(Direction::Forward, &request.next_page_token, run)?;
    let run = token.as_ref().map(|token| token.run).or(run);
    let reader = Reader { frontend, call, workflow, waits: request.wait_new_event };
    if request.history_event_filter_type() == Filter::CloseEvent {
        reader.close_event(run).await
    } else {
        reader.all_events(run, token, validation::page_size(request.maximum_page_size)).await
    }
}

pub(super) async fn reverse(
    frontend: &Frontend,
    call: Call<'_>,
    request: GetWorkflowExecutionHistoryReverseRequest,
) -> Result<GetWorkflowExecutionHistoryReverseResponse, Error> {
    let (workflow, run) = validation::execution(call.id(), request.execution.as_ref())?;
    let token = token(Direction::Reverse, &request.next_page_token, run)?;
    let view = frontend.view(workflow, token.as_ref().map(|token| token.run).or(run)).await?;
    let (view, end) = match &token {
        Some(token) => (on_branch(view, token)?, token.first),
        None => {
            let end = view.next_event_id;
            (view, end)
        }
    };
    let size = validation::page_size(request.maximum_page_size);
    let page = frontend.shards.events_reverse(&view, end, size).await?;
    let mut events = Vec::new();
    for batch in &page.batches {
        events.extend(decode(batch)?.events.into_iter().rev());
    }
    let next_page_token = page.next.map_or_else(Bytes::new, |next| {
        let token = HistoryToken { first: next, end: end.max(next), ..at(&view) };
        token.encode(Direction::Reverse)
    });
    Ok(GetWorkflowExecutionHistoryReverseResponse { history: Some(History { events }), next_page_token })
}

/// The first page of a run for a worker, from `first` on, and the token of the next page if there is one.
pub(super) async fn first_page(
    frontend: &Frontend,
    view: &RunView,
    first: EventId,
) -> Result<(RawHistory, Bytes), Error> {
    page(frontend, view, first, view.next_event_id, validation::page_size(0))
        .await
        .map(|(history, next)| (history, next.map_or_else(Bytes::new, |token| token.encode(Direction::Forward))))
}

/// Who reads forward.
struct Reader<'a> {
    frontend: &'a Frontend,
    call: Call<'a>,
    workflow: WorkflowKey,
    waits: bool,
}

impl Reader<'_> {
    /// Every event, in pages.
    async fn all_events(
        &self,
        run: Option<RunId>,
        token: Option<HistoryToken>,
        size: usize,
    ) -> Result<HistoryPage, Error> {
        let mut view = self.frontend.view(self.workflow.clone(), run).await?;
        let (first, end) = match &token {
            None => (EventId::FIRST, view.next_event_id),
            // A reading goes on.
            Some(token) if token.first < token.end => {
                view = on_branch(view, token)?;
                (token.first, token.end.min(view.next_event_id))
            }
            // A reading has reached its end; whoever waits begins another one there.
            Some(token) => {
                let is_news = |view: &RunView| !view.is_open || token.end < view.next_event_id;
                if self.waits && !is_news(&view) {
                    view = self.wait(view, is_news).await?;
                }
                check_on_branch(&view.histories, token)?;
                (token.first.min(view.next_event_id), view.next_event_id)
            }
        };
        let (mut history, next) = page(self.frontend, &view, first, end, size).await?;
        // Somebody who waited in vain has seen the tail before.
        let is_in_vain = token.is_some() && first == end;
        if next.is_none() && end == view.next_event_id && !is_in_vain && !self.call.caller.shows_history_to_people() {
            history.extend(&view.transient);
        }
        let next_page_token = match next {
            Some(token) => token.encode(Direction::Forward),
            None if self.waits && view.is_open => {
                HistoryToken { first: end, end, ..at(&view) }.encode(Direction::Forward)
            }
            None => Bytes::new(),
        };
        Ok(HistoryPage { history, next_page_token })
    }

    /// The event that closed the run, and nothing before there is one.
    async fn close_event(&self, run: Option<RunId>) -> Result<HistoryPage, Error> {
        let mut view = self.frontend.view(self.workflow.clone(), run).await?;
        if self.waits && view.is_open {
            view = self.wait(view, |view| !view.is_open).await?;
        }
        if view.is_open {
            let end = view.next_event_id;
            let token = HistoryToken { first: EventId::FIRST, end, ..at(&view) };
            let next_page_token = if self.waits { token.encode(Direction::Forward) } else { Bytes::new() };
            return Ok(HistoryPage { next_page_token, ..Default::default() });
        }
        let first = view.last_batch.min(view.next_event_id.previous()).max(EventId::FIRST);
        let (batches, _) = page(self.frontend, &view, first, view.next_event_id, usize::MAX).await?;
        let Some(last) = batches.0.last() else {
            return Err(Error::Internal(format!("{:?} has no last batch", view.run)));
        };
        let last = decode(last)?.events.pop();
        let mut history = RawHistory::default();
        history.extend(last.as_slice());
        Ok(HistoryPage { history, next_page_token: Bytes::new() })
    }

    /// Wait until the run is as wanted, but no longer than a reader should (api 3.13). Answers where it stands then.
    async fn wait(&self, seen: RunView, is_wanted: impl Fn(&RunView) -> bool) -> Result<RunView, Error> {
        let frontend = self.frontend;
        let _waiting = frontend.long_polls.enter(self.call.namespace, self.call.caller.rpc.name)?;
        let until = until(frontend.now(), self.call.caller.deadline);
        // The watch begins before the look, so that nothing happens between the two.
        let mut watch = frontend.shards.watch(&seen.run);
        let timeout = sleep(until.since(frontend.now()));
        let mut timeout = std::pin::pin!(timeout);
        loop {
            let view = frontend.view(self.workflow.clone(), Some(seen.run.run)).await?;
            let is_moved = view.histories.current().branch.id != seen.histories.current().branch.id;
            if is_wanted(&view) || is_moved {
                return Ok(view);
            }
            select! {
                biased;
                changed = watch.changed() => if changed.is_err() {
                    // The shard may be on its way back, and otherwise says where to ask.
                    watch = frontend.shards.watch(&seen.run);
                },
                () = &mut timeout => return Ok(view),
            }
        }
    }
}

/// When a reader is answered although nothing happened: while he still listens.
fn until(now: Timestamp, deadline: Option<Timestamp>) -> Timestamp {
    let longest = now + LONGEST_WAIT;
    match deadline {
        None => longest,
        Some(deadline) => longest.min(deadline - MARGIN.min(deadline.since(now) / 2)),
    }
}

/// Batches from `first` to before `end`, and where the reading goes on.
async fn page(
    frontend: &Frontend,
    view: &RunView,
    first: EventId,
    end: EventId,
    size: usize,
) -> Result<(RawHistory, Option<HistoryToken>), Error> {
    if end <= first {
        return Ok(Default::default());
    }
    let events = frontend.shards.events(view, first, end, size).await?;
    let next = events.next.filter(|next| *next < end).map(|next| HistoryToken { first: next, end, ..at(view) });
    Ok((RawHistory(events.batches), next))
}

/// A token of this run and branch, whose place in it the caller fills in.
fn at(view: &RunView) -> HistoryToken {
    let current = view.histories.current();
    HistoryToken {
        run: view.run.run,
        first: EventId::FIRST,
        end: EventId::FIRST,
        is_open: view.is_open,
        branch: current.branch.token(),
        versions: current.versions.clone(),
    }
}

/// The token of a request, which must be of the run that the request names.
fn token(direction: Direction, bytes: &[u8], run: Option<RunId>) -> Result<Option<HistoryToken>, Error> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let token = HistoryToken::decode(direction, bytes).map_err(|Malformed| invalid_token())?;
    if run.is_some_and(|run| run != token.run) {
        return Err(Error::invalid("RunId in the request does not match the NextPageToken."));
    }
    Ok(Some(token))
}

/// The run with the token's branch as the current one. Another branch may have won since; a reading that has begun ends on
/// the branch it began on.
fn on_branch(view: RunView, token: &HistoryToken) -> Result<RunView, Error> {
    let all = view.histories.all();
    let last = token.versions.last();
    let is_it = |index: &usize| all[*index].branch.token() == token.branch && all[*index].versions.contains(last);
    let current = view.histories.current_index();
    let index = Some(current).filter(is_it).or_else(|| (0..all.len()).find(is_it)).ok_or_else(invalid_token)?;
    if index == current {
        return Ok(view);
    }
    let histories = VersionHistories::from_parts(all.to_vec(), index).ok_or_else(invalid_token)?;
    let next_event_id = histories.current().versions.last().event_id.next();
    Ok(RunView { histories, next_event_id, transient: Vec::new(), ..view })
}

/// A reader who waits wants to know what happens, and on a branch that lost nothing does.
fn check_on_branch(histories: &VersionHistories, token: &HistoryToken) -> Result<(), Error> {
    let current = histories.current();
    let is_it = current.branch.token() == token.branch && current.versions.contains(token.versions.last());
    if is_it { Ok(()) } else { Err(invalid_token()) }
}

fn invalid_token() -> Error {
    Error::invalid("Invalid NextPageToken.")
}

fn decode(batch: &Bytes) -> Result<History, Error> {
    History::decode(batch.clone()).map_err(|cause| Error::Internal(format!("a stored batch is no history: {cause}")))
}

/// A reader never waits longer.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// A reader is answered so long before he gives up.
const MARGIN: Duration = Duration::from_secs(1);

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
