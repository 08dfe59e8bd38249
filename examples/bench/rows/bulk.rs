//! Large bodies both ways, and the memory that they take on their way.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Bench;
use crate::contenders::{Contender, Way};
use crate::load::{Client, request};
use crate::table::Unit;

const MIB: usize = 1024 * 1024;

/// Bytes that are sent at once.
const BLOCK: usize = 256 * 1024;

#[derive(Clone, Copy)]
enum Direction {
    Down,
    Up,
}

impl Bench {
    pub(super) async fn bulk(&mut self) {
        let size = if self.effort.quick { 128 * MIB } else { 1024 * MIB };
        let rounds = if self.effort.quick { 1 } else { 2 };
        for (direction, word) in [(Direction::Down, "down"), (Direction::Up, "up")] {
            for round in 0..rounds {
                let mut cells = Vec::new();
                for contender in self.turns(round) {
                    match pass(contender, direction, size).await {
                        Ok((speed, memory)) => cells.push((contender.who, speed, memory)),
                        Err(why) => eprintln!("{}: {why:#}", contender.who.name()),
                    }
                }
                for (who, speed, memory) in cells {
                    self.sheet.put(&format!("1 GiB {word}"), Unit::MiBPerSecond, who, round, speed);
                    if let Some(memory) = memory {
                        self.sheet.put(&format!("1 GiB {word}: memory"), Unit::MiB, who, round, memory);
                    }
                }
            }
        }
    }
}

/// MiB a second, and the most memory that was seen.
async fn pass(contender: &Contender, direction: Direction, size: usize) -> anyhow::Result<(f64, Option<f64>)> {
    let mut client = Client::connect(contender.address(Way::Kept)).await?;
    let began = Instant::now();
    let passing = async {
        match direction {
            Direction::Down => down(&mut client, size).await,
            Direction::Up => up(&mut client, size).await,
        }
    };
    let mut most: Option<f64> = None;
    let watching = async {
        while let Some(program) = contender.program(Way::Kept) {
            sleep(Duration::from_millis(50)).await;
            most = Some(most.unwrap_or_default().max(program.memory()));
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = passing => ended?,
        () = watching => {}
    }
    Ok(((size / MIB) as f64 / began.elapsed().as_secs_f64(), most))
}

async fn down(client: &mut Client, size: usize) -> anyhow::Result<()> {
    let came = client.ask(&request("GET", "/bench/down", &format!("x-bench-bytes: {size}\r\n"), "")).await?;
    anyhow::ensure!(came == size, "{came} bytes came instead of {size}");
    Ok(())
}

async fn up(client: &mut Client, size: usize) -> anyhow::Result<()> {
    // Unlike any digest that exists: nothing is looked up.
    let path = format!("/api/blobs/sha256:{:064x}", 1);
    client.send(&request("POST", &path, &format!("Content-Length: {size}\r\n"), "")).await?;
    let block = vec![b'x'; BLOCK];
    for _ in 0..size / BLOCK {
        client.send(&block).await?;
    }
    let framing = client.head().await?;
    client.body(framing, |_| ()).await
}
