//! The course of a script: line after line, part after part.
//!
//! At the first difference of a part the rest of it is left out. Play goes on at the next
//! `-- afresh`, where everything is closed and forgotten; parts on the way there are not reached. So
//! a server gets its points for what it can do, whatever it can't.

use tokio::time::Instant;

use super::{
    Difference, Failure,
    because::Circumstances,
    grade::{Ending, Grade, Part},
    load::Placed,
    log::Log,
    player::{Manner, Player},
};
use crate::transcript::{script::Step, text::Place};

impl Player<'_> {
    pub(super) async fn run(mut self) -> Grade {
        let has_points = self.play.lines.iter().any(|line| matches!(line.step, Step::Points { .. }));
        let mut parts = vec![Part::new(self.play.title(), u32::from(!has_points), 1)];
        let mut last = None;
        while let Some(line) = self.play.lines.get(self.next).cloned() {
            self.next += 1;
            let done = self.play_line(&line, &mut parts).await;
            if let Err(difference) = done {
                self.fail(&line, difference, &mut parts);
                if line.step != Step::Afresh {
                    self.skip_to_afresh(&mut parts).await;
                }
            }
            last = Some(line);
        }
        let left = self.refuse_unused_manner().and(self.leftovers().await);
        if let (Some(line), Err(difference)) = (last, left) {
            self.fail(&line, difference, &mut parts);
        }
        if has_points && parts.first().is_some_and(Part::has_passed) {
            parts.remove(0);
        }
        Grade { parts }
    }

    async fn play_line(&mut self, line: &Placed, parts: &mut Vec<Part>) -> Result<(), Difference> {
        match &line.step {
            Step::Points { points, title } => {
                parts.push(Part::new(title, *points, line.line));
                self.because = None;
                Ok(())
            }
            Step::Because { sentence, source } => {
                self.because = Some((sentence.clone(), source.clone()));
                Ok(())
            }
            Step::Afresh => {
                let left = self.refuse_unused_manner().and(self.leftovers().await);
                self.begin_afresh().await;
                left
            }
            step => self.timed(step.clone()).await,
        }
    }

    /// Plays a step in the time that it has.
    async fn timed(&mut self, step: Step) -> Result<(), Difference> {
        if Instant::now() >= self.script_until {
            return Err(Difference::new(format!("the script took longer than {:?}", self.stage.script_time)));
        }
        match step {
            Step::Within(span) => self.manner.within = Some(span),
            Step::Optional => self.manner.is_optional = true,
            Step::Repeated => self.manner.is_repeated = true,
            Step::Blank | Step::Comment(_) | Step::Note(_) | Step::Data(_) => {}
            step => {
                let manner = std::mem::take(&mut self.manner);
                let usual = Instant::now() + self.step_time;
                self.step_until = manner.within.map_or(usual, |within| self.spoken_at + within.0).min(self.script_until);
                let done = self.step(step, &manner).await;
                return done.map_err(|difference| self.too_late(&manner, difference));
            }
        }
        Ok(())
    }

    /// `-- within` and its kin are about what comes next; where nothing comes they were forgotten there.
    fn refuse_unused_manner(&mut self) -> Result<(), Difference> {
        match std::mem::take(&mut self.manner) {
            Manner { within: None, is_optional: false, is_repeated: false } => Ok(()),
            _ => Err(Difference::new("`-- within`, `-- optional` and `-- repeated` come directly before what they are about")),
        }
    }

    fn too_late(&self, manner: &Manner, mut difference: Difference) -> Difference {
        if let Some(within) = manner.within.filter(|_| Instant::now() >= self.step_until) {
            difference.what = format!("not within {within}: {}", difference.what);
        }
        difference
    }

    fn fail(&mut self, line: &Placed, difference: Difference, parts: &mut [Part]) {
        let service = self.services.get(&self.current).map(String::as_str);
        let circumstances = Circumstances { said: self.because.as_ref(), service, command: self.command.as_deref(), step: &line.step };
        let because = circumstances.explain();
        let failure = Failure { file: line.file.to_string(), line: line.line, difference, because, so_far: self.log.print() };
        if let Some(part) = parts.last_mut().filter(|part| !matches!(part.ending, Ending::Failed(_))) {
            part.ending = Ending::Failed(Box::new(failure));
        }
    }

    /// Goes on behind the next `-- afresh`, or not at all where there is none or no time is left.
    async fn skip_to_afresh(&mut self, parts: &mut Vec<Part>) {
        let is_over = Instant::now() >= self.script_until;
        while let Some(line) = self.play.lines.get(self.next) {
            self.next += 1;
            match &line.step {
                Step::Points { points, title } => {
                    parts.push(Part { ending: Ending::NotReached, ..Part::new(title, *points, line.line) });
                }
                Step::Afresh if !is_over => return self.begin_afresh().await,
                _ => {}
            }
        }
        self.peers.clear();
    }

    /// Leaves out what is still to come of this part.
    pub(super) fn leave_part(&mut self) {
        let ahead = self.play.lines.iter().skip(self.next);
        self.next += ahead.take_while(|line| !matches!(line.step, Step::Afresh | Step::Points { .. })).count();
    }

    /// Closes every connection and forgets what was seen; the listeners stay.
    async fn begin_afresh(&mut self) {
        self.step_until = (Instant::now() + self.step_time).min(self.script_until);
        for (_, peer) in std::mem::take(&mut self.peers) {
            peer.leave(self.step_until).await;
        }
        self.play.forget(&self.fresh);
        self.current = "main".into();
        (self.log, self.because, self.command, self.manner) = (Log::new(), None, None, Manner::default());
        (self.step_time, self.spoken_at) = (self.stage.step_time, Instant::now());
    }

    /// Remembers what was said, to explain what is expected for it.
    pub(super) fn note_command(&mut self, text: &crate::transcript::text::Text) {
        if text.print(Place::Line).starts_with(|c: char| c.is_ascii_alphabetic()) {
            self.command = Some(text.print(Place::Line));
        }
        self.spoken_at = Instant::now();
    }
}
