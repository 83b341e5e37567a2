// Express with Google's Pub/Sub client, as https://expressjs.com/en/starter/hello-world.html and
// https://cloud.google.com/pubsub/docs/publisher teach.
"use strict";

const { randomUUID } = require("node:crypto");
const express = require("express");
const { PubSub } = require("@google-cloud/pubsub");
const { SecretManagerServiceClient } = require("@google-cloud/secret-manager");
const { credentials } = require("@grpc/grpc-js");

const project = process.env.PROJECT_ID;

async function accessApiKey() {
  const [servicePath, port] = process.env.SECRET_MANAGER_EMULATOR_HOST.split(":");
  const sslCreds = credentials.createInsecure();
  const client = new SecretManagerServiceClient({ servicePath, port: Number(port), sslCreds });
  const name = `projects/${project}/secrets/patients-api-key/versions/latest`;
  const [version] = await client.accessSecretVersion({ name });
  await client.close();
  return version.payload.data.toString();
}

async function main() {
  const apiKey = await accessApiKey();
  const topic = new PubSub({ projectId: project }).topic("patients");
  const app = express();
  app.use(express.json({ limit: "10mb" }));
  app.use(express.text({ type: "application/x-ndjson", limit: "10mb" }));

  app.post("/", async (request, response) => {
    if (request.get("x-api-key") !== apiKey) {
      response.status(401).json({ error: "unauthorized" });
      return;
    }
    const body = request.body;
    const records = typeof body === "string" ? body.split("\n").map((l) => JSON.parse(l)) : [body];
    if (!records.every((record) => record.patient_id)) {
      response.status(400).json({ error: "patient_id is required" });
      return;
    }
    const now = new Date().toISOString();
    const audit = { created_ts: now, updated_ts: now, created_by: "v1", is_active: true };
    const published = records.map((record) => {
      const data = Buffer.from(JSON.stringify({ ...record, ...audit, event_id: randomUUID() }));
      return topic.publishMessage({ data, attributes: { resource: "patients" } });
    });
    response.status(202).json({ message_ids: await Promise.all(published) });
  });

  app.listen(Number(process.env.PORT), "127.0.0.1");
}

main();
