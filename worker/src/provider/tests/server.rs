//! A server that answers each call with the next reply of a script, then repeats the last.

use std::sync::{Arc, Mutex};

use poem::http::{HeaderMap, StatusCode};
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::{Endpoint, Request, Response, Server};
use serde_json::Value;
use tokio::task::JoinHandle;

#[derive(Clone)]
pub(super) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    hang: bool,
}

impl Reply {
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), hang: false }
    }

    pub(super) fn json(body: &Value) -> Self {
        Self::new(200, body.to_string())
    }

    /// Never answers.
    pub(super) fn hang() -> Self {
        Self { hang: true, ..Self::new(200, "") }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// One received call.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

struct Script {
    replies: Vec<Reply>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Endpoint for Script {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let path = request.uri().path().to_owned();
        let headers = request.headers().clone();
        let body = request.take_body().into_json().await?;
        let index = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(Call { path, headers, body });
            calls.len() - 1
        };
        let reply = self.replies.get(index).or(self.replies.last()).unwrap().clone();
        if reply.hang {
            std::future::pending::<()>().await;
        }
        let mut response = Response::builder().status(StatusCode::from_u16(reply.status).unwrap());
        for (name, value) in reply.headers {
            response = response.header(name, value);
        }
        Ok(response.body(reply.body))
    }
}

pub(super) struct TestServer {
    pub(super) base: String,
    calls: Arc<Mutex<Vec<Call>>>,
    task: JoinHandle<()>,
}

impl TestServer {
    pub(super) async fn start(replies: Vec<Reply>) -> Self {
        let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
        let address = acceptor.local_addr()[0].as_socket_addr().copied().unwrap();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let script = Script { replies, calls: calls.clone() };
        let task = tokio::spawn(async move {
            Server::new_with_acceptor(acceptor).run(script).await.unwrap();
        });
        Self { base: format!("http://{address}"), calls, task }
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// Waits until `count` calls have arrived.
    pub(super) async fn received(&self, count: usize) {
        while self.calls.lock().unwrap().len() < count {
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
