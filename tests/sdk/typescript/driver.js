// The TypeScript SDK as a process: one JSON request per line in, one JSON answer per line out, in any order.
//
// A request is {"call", "do", ...arguments}; its answer is {"call", "answer"} or {"call", "error"}. The operations are the members
// of `operations`. The Python driver speaks the same protocol. Ends when its input does.

const { readFileSync } = require('node:fs');
const readline = require('node:readline');
const { Client, Connection, WorkflowExecutionAlreadyStartedError, WorkflowFailedError } = require('@temporalio/client');
const failures = require('@temporalio/common');
const { Worker, NativeConnection, Runtime, DefaultLogger, bundleWorkflowCode } = require('@temporalio/worker');
const { activities, gate } = require('./activities');

// Standard output belongs to the protocol.
Runtime.install({ logger: new DefaultLogger('WARN', (entry) => console.error(entry.message, entry.meta)) });

/** Answers what `make` made of `key` the first time. */
function memo(make) {
  const made = new Map();
  return (key) => {
    if (!made.has(key)) made.set(key, make(key));
    return made.get(key);
  };
}

/** What the environment says, in the variables of the published CLI. */
function tlsOf(environment) {
  const read = (variable) => environment[variable] && readFileSync(environment[variable]);
  const serverRootCACertificate = read('TEMPORAL_TLS_SERVER_CA_CERT_PATH');
  if (!serverRootCACertificate) return undefined;
  const crt = read('TEMPORAL_TLS_CLIENT_CERT_PATH');
  const clientCertPair = crt && { crt, key: read('TEMPORAL_TLS_CLIENT_KEY_PATH') };
  return { serverRootCACertificate, clientCertPair, serverNameOverride: environment.TEMPORAL_TLS_SERVER_NAME };
}

const tls = tlsOf(process.env);
const clientOf = memo(async (address) => new Client({ connection: await Connection.connect({ address, tls }) }));
const nativeOf = memo((address) => NativeConnection.connect({ address, tls }));
const bundle = memo((workflowsPath) => bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('ERROR') }));
const workers = new Map();

async function handleOf(address, id) {
  return (await clientOf(address)).workflow.getHandle(id);
}

const operations = {
  /** Start the worker `name` on a queue of the server at `address`. */
  async work({ name, address, queue, cache = 100 }) {
    const worker = await Worker.create({
      connection: await nativeOf(address),
      taskQueue: queue,
      workflowBundle: await bundle(require.resolve('./workflows')),
      activities,
      maxCachedWorkflows: cache,
      shutdownForceTime: '5s',
    });
    workers.set(name, { worker, running: worker.run() });
  },

  async stop({ name }) {
    const { worker, running } = workers.get(name);
    workers.delete(name);
    worker.shutdown();
    await running;
  },

  /** Start a workflow, with `signal` by signal-with-start; answers the run id. */
  async start({ address, queue, id, workflow, args, timeout, reuse, conflict, signal }) {
    const { workflow: client } = await clientOf(address);
    const options = {
      workflowId: id,
      taskQueue: queue,
      args,
      workflowExecutionTimeout: timeout ?? undefined,
      workflowIdReusePolicy: reuse ?? 'ALLOW_DUPLICATE',
      workflowIdConflictPolicy: conflict ?? undefined,
    };
    const handle = signal
      ? await client.signalWithStart(workflow, { ...options, signal, signalArgs: [] })
      : await client.start(workflow, options);
    return handle.firstExecutionRunId ?? handle.signaledRunId;
  },

  /** The result of a workflow, or {"failure": how it ended}. */
  async result({ address, id }) {
    try {
      return await (await handleOf(address, id)).result();
    } catch (error) {
      if (error instanceof WorkflowFailedError) return { failure: told(error.cause) };
      throw error;
    }
  },

  async signal({ address, id, name, args }) {
    await (await handleOf(address, id)).signal(name, ...args);
  },

  async query({ address, id, name }) {
    return await (await handleOf(address, id)).query(name);
  },

  async cancel({ address, id }) {
    await (await handleOf(address, id)).cancel();
  },

  async terminate({ address, id }) {
    await (await handleOf(address, id)).terminate('by the test');
  },

  async status({ address, id }) {
    return (await (await handleOf(address, id)).describe()).status.name;
  },

  /** The ids of the pending activities that are with a worker. */
  async pending({ address, id }) {
    const { raw } = await (await handleOf(address, id)).describe();
    return raw.pendingActivities.filter((activity) => activity.lastStartedTime).map((activity) => activity.activityId);
  },

  async complete_activity({ address, id, activity, result }) {
    await (await clientOf(address)).activity.complete({ workflowId: id, activityId: activity }, result);
  },

  /** Replay the history of a workflow; fails if the workflow would have done anything else. */
  async replay({ address, id }) {
    const history = await (await handleOf(address, id)).fetchHistory();
    const workflowBundle = await bundle(require.resolve('./workflows'));
    await Worker.runReplayHistory({ workflowBundle, replayName: id }, history, id);
  },

  async list({ address, query }) {
    const ids = [];
    for await (const execution of (await clientOf(address)).workflow.list({ query })) ids.push(execution.workflowId);
    return ids;
  },

  async count({ address, query }) {
    return (await (await clientOf(address)).workflow.count(query)).count;
  },

  async open_gate({ gate: name }) {
    gate(name).open();
  },
};

/** A failure and its causes in words that are the same for every SDK. */
function told(failure) {
  if (failure instanceof failures.ActivityFailure) return `activity: ${told(failure.cause)}`;
  if (failure instanceof failures.ApplicationFailure) return `application ${failure.type}: ${failure.message}`;
  if (failure instanceof failures.TimeoutFailure) return `timeout ${failure.timeoutType}`;
  if (failure instanceof failures.CancelledFailure) return 'canceled';
  if (failure instanceof failures.TerminatedFailure) return 'terminated';
  return String(failure);
}

async function answer({ call, do: operation, ...request }) {
  try {
    return { call, answer: (await operations[operation](request)) ?? null };
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return { call, error: 'already started' };
    return { call, error: `${error.stack}\n${error.cause?.stack ?? ''}` };
  }
}

readline
  .createInterface({ input: process.stdin })
  .on('line', async (line) => console.log(JSON.stringify(await answer(JSON.parse(line)))))
  .on('close', () => process.exit(0));
