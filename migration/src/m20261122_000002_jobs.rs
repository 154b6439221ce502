//! Jobs, who waits for them, what happened to them, and who runs them. Indexes are few and
//! partial: the finished bulk of the table must not slow down the open part.

use sea_orm_migration::prelude::*;

use crate::ddl;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const UP: &[&str] = &[
    "CREATE TABLE jobs (
        id {uuid} PRIMARY KEY,
        kind text NOT NULL,
        queue text NOT NULL,
        priority {small} NOT NULL DEFAULT 1 CHECK (priority BETWEEN 0 AND 2),
        payload {json} NOT NULL,
        payload_version {int} NOT NULL DEFAULT 1,
        key text,
        state text NOT NULL DEFAULT 'queued' CHECK (state IN
            ('queued', 'running', 'retrying', 'succeeded', 'failed', 'cancelled')),
        version {big} NOT NULL DEFAULT 1,
        run {int} NOT NULL DEFAULT 0,
        attempt {int} NOT NULL DEFAULT 0 CHECK (attempt >= 0),
        max_attempts {int} NOT NULL CHECK (max_attempts > 0),
        lost {int} NOT NULL DEFAULT 0,
        run_at {ts} NOT NULL,
        deadline_at {ts},
        stage text,
        progress_done {int} NOT NULL DEFAULT 0,
        progress_total {int},
        worker {uuid},
        cancel_requested_at {ts},
        children_open {int} NOT NULL DEFAULT 0,
        children_must_succeed {bool} NOT NULL DEFAULT FALSE,
        calls_made {int} NOT NULL DEFAULT 0,
        calls {json} NOT NULL DEFAULT '[]',
        user_id {uuid},
        team_id {uuid},
        parent_id {uuid},
        request_id text,
        trace_parent text,
        result {json},
        error_code text,
        error_message text,
        errors {json} NOT NULL DEFAULT '[]',
        created_at {ts} NOT NULL,
        started_at {ts},
        finished_at {ts},
        result_expires_at {ts},
        CHECK ((state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
        CHECK (worker IS NULL OR state = 'running')
    ) {strict}",
    "CREATE UNIQUE INDEX jobs_open_key ON jobs (kind, key)
        WHERE key IS NOT NULL AND state IN ('queued', 'running', 'retrying')",
    "CREATE INDEX jobs_due ON jobs (queue, priority, run_at, id)
        WHERE state IN ('queued', 'retrying')",
    "CREATE INDEX jobs_running ON jobs (worker) WHERE state = 'running'",
    "CREATE INDEX jobs_deadline ON jobs (deadline_at)
        WHERE deadline_at IS NOT NULL AND state IN ('queued', 'retrying')",
    "CREATE INDEX jobs_results ON jobs (result_expires_at) WHERE result IS NOT NULL",
    "CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL",
    "CREATE INDEX jobs_durations ON jobs (kind, finished_at) WHERE state = 'succeeded'",
    "CREATE TABLE job_watchers (
        id {uuid} PRIMARY KEY,
        job_id {uuid} NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        user_id {uuid},
        parent_id {uuid},
        hold_id {uuid},
        created_at {ts} NOT NULL,
        left_at {ts},
        CHECK ((user_id IS NULL) <> (parent_id IS NULL))
    ) {strict}",
    "CREATE INDEX job_watchers_job ON job_watchers (job_id)",
    "CREATE UNIQUE INDEX job_watchers_user ON job_watchers (job_id, user_id)
        WHERE user_id IS NOT NULL",
    "CREATE UNIQUE INDEX job_watchers_parent ON job_watchers (job_id, parent_id)
        WHERE parent_id IS NOT NULL",
    "CREATE INDEX job_watchers_of_user ON job_watchers (user_id, job_id)
        WHERE user_id IS NOT NULL",
    "CREATE INDEX job_watchers_of_parent ON job_watchers (parent_id)
        WHERE parent_id IS NOT NULL",
    "CREATE TABLE job_events (
        id {uuid} PRIMARY KEY,
        job_id {uuid} NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        event text NOT NULL,
        detail text NOT NULL,
        at {ts} NOT NULL
    ) {strict}",
    "CREATE INDEX job_events_job ON job_events (job_id)",
    "CREATE INDEX job_events_raw ON job_events (at) WHERE event = 'bad_shape'",
    "CREATE TABLE workers (
        id {uuid} PRIMARY KEY,
        host text NOT NULL,
        version text NOT NULL,
        slots {int} NOT NULL,
        lease_until {ts} NOT NULL,
        draining {bool} NOT NULL,
        memory_bytes {big},
        started_at {ts} NOT NULL
    ) {strict}",
    "CREATE TABLE worker_kinds (
        worker_id {uuid} NOT NULL REFERENCES workers (id) ON DELETE CASCADE,
        kind text NOT NULL,
        PRIMARY KEY (worker_id, kind)
    ) {strict}",
    "CREATE TABLE queue_controls (
        queue text PRIMARY KEY,
        paused_at {ts},
        paused_by text,
        reason text
    ) {strict}",
    "CREATE TABLE schedules (
        name text PRIMARY KEY,
        last_tick {ts},
        paused {bool} NOT NULL DEFAULT FALSE,
        last_result text
    ) {strict}",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        ddl::WHOLE
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::drop_tables(
            manager,
            &[
                "schedules",
                "queue_controls",
                "worker_kinds",
                "workers",
                "job_events",
                "job_watchers",
                "jobs",
            ],
        )
        .await
    }
}
