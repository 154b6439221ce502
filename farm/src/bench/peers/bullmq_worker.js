// Ends noop jobs and says when it has ended as many as it was told.
const { Worker } = require("bullmq");

const [url, count, concurrency] = process.argv.slice(2);
const { hostname, port, password } = new URL(url);
const connection = { host: hostname, port: Number(port), password: decodeURIComponent(password), db: 1 };
let ended = 0;
const worker = new Worker("noop", async () => {}, { connection, concurrency: Number(concurrency) });
worker.on("completed", () => {
  ended += 1;
  if (ended === Number(count)) console.log("done");
});
worker.on("error", (error) => console.error(`bullmq worker: ${error.message}`));
worker.waitUntilReady().then(() => console.log("ready"));
