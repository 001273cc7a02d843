// Workflows that the scenarios of the tests run. The Python side has the same ones under the same names.

const wf = require('@temporalio/workflow');

const QUICKLY = { initialInterval: '10ms', backoffCoefficient: 1 };
const ONCE = { maximumAttempts: 1 };

/** Activities with a minute to run and the given options. */
function activities(options = {}) {
  return wf.proxyActivities({ startToCloseTimeout: '1 minute', ...options });
}

exports.Greeting = async (name) => await activities().greet(name);

/** Adds what signals bring until one says that it is enough. */
exports.Counter = async () => {
  let sum = 0;
  let finished = false;
  wf.setHandler(wf.defineSignal('add'), (number) => void (sum += number));
  wf.setHandler(wf.defineSignal('finish'), () => void (finished = true));
  wf.setHandler(wf.defineQuery('total'), () => sum);
  await wf.condition(() => finished);
  return sum;
};

exports.Sleeper = async (milliseconds) => {
  await wf.sleep(milliseconds);
  return 'awake';
};

/** A timer that is cancelled because another fires first. */
exports.Race = async () => {
  const scope = new wf.CancellationScope();
  const slow = scope.run(() => wf.sleep('1 hour')).catch(() => undefined);
  await wf.sleep(10);
  scope.cancel();
  await slow;
  return 'the short timer';
};

/** Continues as new until the number is zero; answers how many runs there were. */
exports.Chain = async (left, runs) => {
  if (left === 0) return runs + 1;
  return await wf.continueAsNew(left - 1, runs + 1);
};

exports.Retrying = async (attempt) => await activities({ retry: QUICKLY }).fail_until(attempt);

exports.Hopeless = async () => await activities().fail_for_good();

exports.Broken = async () => {
  throw wf.ApplicationFailure.create({ message: 'out of order', type: 'OutOfOrder' });
};

exports.Remembering = async () => await activities({ heartbeatTimeout: '1 minute', retry: QUICKLY }).remember();

/** One attempt of an activity that hangs (or that nobody takes), with the timeouts given in milliseconds. */
exports.Hanging = async (timeouts, queue) => {
  const names = {
    schedule_to_close_timeout: 'scheduleToCloseTimeout',
    schedule_to_start_timeout: 'scheduleToStartTimeout',
    start_to_close_timeout: 'startToCloseTimeout',
    heartbeat_timeout: 'heartbeatTimeout',
  };
  const options = { retry: ONCE, taskQueue: queue || undefined };
  for (const [name, value] of Object.entries(timeouts)) options[names[name]] = value;
  await wf.proxyActivities(options).hang();
};

/** Cancels its own activity once it was told that it runs, and answers what the activity said. */
exports.Cancelling = async () => {
  let told = false;
  wf.setHandler(wf.defineSignal('cancel_it'), () => void (told = true));
  const scope = new wf.CancellationScope();
  const options = { heartbeatTimeout: '2s', cancellationType: 'WAIT_CANCELLATION_COMPLETED' };
  const running = scope.run(() => activities(options).heartbeat_until_cancelled());
  await wf.condition(() => told);
  scope.cancel();
  return await running;
};

/** Runs an activity of its own while it is being cancelled, then obeys. */
exports.Stubborn = async () => {
  try {
    await wf.condition(() => false);
  } catch (error) {
    await wf.CancellationScope.nonCancellable(() => activities().greet('cleanup'));
    throw error;
  }
};

exports.Elsewhere = async () => await activities({ activityId: 'elsewhere' }).complete_elsewhere();

exports.Local = async (name) => await wf.proxyLocalActivities({ startToCloseTimeout: '1 minute' }).greet(name);

exports.Gated = async (gate) => await activities({ startToCloseTimeout: '10s', retry: QUICKLY }).gated(gate);

/** What a failover interrupts: two activities, one of them retrying, a timer, a signal and a query. */
exports.Journey = async (name) => {
  let at = 'leaving';
  let ticket;
  wf.setHandler(wf.defineSignal('board'), (given) => void (ticket = given));
  wf.setHandler(wf.defineQuery('place'), () => at);
  const greeting = await activities().greet(name);
  at = 'platform';
  await wf.condition(() => ticket !== undefined);
  at = 'train';
  await wf.sleep(100);
  const attempt = await activities({ retry: QUICKLY }).fail_until(3);
  at = 'arrived';
  return `${greeting} Ticket ${ticket}, attempt ${attempt}`;
};
