//! How a script did, part by part.

use super::Failure;

/// What playing a script comes to.
pub(crate) struct Grade {
    pub parts: Vec<Part>,
}

/// What is graded together: the lines from one `-- points` to the next, or a whole script that has none.
pub(crate) struct Part {
    pub title: String,
    /// What it is worth.
    pub points: u32,
    pub line: usize,
    pub ending: Ending,
}

/// How a part ended.
pub(crate) enum Ending {
    Passed,
    /// The first difference in it.
    Failed(Box<Failure>),
    /// An earlier difference left nothing to go on with.
    NotReached,
}

impl Part {
    pub(crate) fn new(title: &str, points: u32, line: usize) -> Part {
        Part { title: title.to_owned(), points, line, ending: Ending::Passed }
    }

    pub(crate) fn has_passed(&self) -> bool {
        matches!(self.ending, Ending::Passed)
    }

    /// The points earned.
    pub(crate) fn score(&self) -> u32 {
        if self.has_passed() { self.points } else { 0 }
    }
}

impl Grade {
    /// The grade of a script that could not be played.
    pub(crate) fn of_unplayed(failure: Box<Failure>) -> Grade {
        // On the first line begins what is graded as a whole.
        let mut part = Part::new("", 1, 1);
        part.ending = Ending::Failed(failure);
        Grade { parts: vec![part] }
    }

    pub(crate) fn has_passed(&self) -> bool {
        self.parts.iter().all(Part::has_passed)
    }

    /// The first difference of all.
    pub(crate) fn into_first_failure(self) -> Option<Box<Failure>> {
        self.parts.into_iter().find_map(|part| match part.ending {
            Ending::Failed(failure) => Some(failure),
            Ending::Passed | Ending::NotReached => None,
        })
    }
}
