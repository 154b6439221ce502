//! Who a handle is: persona, numbers, rhythm and languages. Pure, and the same every time.

use super::{
    captions::{Caption, LANGUAGES, Shelf},
    dice::Dice,
    handle::Conduct,
    persona::{self, PERSONAS, Persona},
};

/// The moment all timelines end: 2026-11-01T00:00:00Z. Fixed, so that answers never age.
pub const PRESENT: u64 = 1_793_491_200;

/// How many posts an ordinary answer carries.
const PAGE: usize = 12;

/// How many posts `demo_polyglot` carries.
const POLYGLOT_PAGE: usize = 200;

/// One invented person.
#[derive(Debug, Clone)]
pub struct Character {
    /// The handle.
    pub handle: String,
    /// The numeric account id.
    pub id: u64,
    /// The name above the biography.
    pub full_name: String,
    /// The biography.
    pub biography: String,
    /// What they post about.
    pub persona: &'static Persona,
    /// Followers.
    pub followers: u64,
    /// Accounts followed.
    pub following: u64,
    /// Posts ever published.
    pub posts_count: u64,
    /// The blue tick.
    pub verified: bool,
    /// A business account.
    pub business: bool,
    /// Shows posts to followers only.
    pub private: bool,
    /// Has a post published together with somebody.
    pub collaborates: bool,
    /// Posts in one answer.
    pub shown: usize,
    /// Typical likes for every 10,000 followers.
    pub likes_per_10k: u64,
    /// Typical hours between two posts.
    pub cadence_hours: u64,
    /// A second language that every third post is written in.
    pub second_language: Option<Shelf>,
}

impl Character {
    /// The person behind a handle.
    pub fn of(handle: &str) -> Self {
        let mut dice = Dice::of(&["character", handle]);
        let persona = &PERSONAS[dice.below(PERSONAS.len() as u64) as usize];
        let followers = thrown_followers(&mut dice);
        let mut character = Self {
            handle: handle.to_owned(),
            id: dice.between(1_000_000_000, 75_000_000_000),
            full_name: spoken(handle),
            biography: dice.pick(&persona.bios).to_owned(),
            persona,
            followers,
            following: dice.between(90, 1900),
            posts_count: dice.between(48, 2600),
            verified: dice.chance(if followers > 500_000 { 70 } else { 8 }),
            business: dice.chance(45),
            private: false,
            collaborates: dice.chance(50),
            shown: PAGE,
            likes_per_10k: thrown_likes(&mut dice, followers),
            cadence_hours: dice.between(11, 80),
            second_language: dice
                .chance(40)
                .then(|| LANGUAGES[dice.below(LANGUAGES.len() as u64) as usize]),
        };
        character.know_the_famous();
        character
    }

    /// The handles the README names look the same in every release, whatever the dice would say.
    fn know_the_famous(&mut self) {
        match self.handle.as_str() {
            "demo_travel" => self.become_known("travel", "Mara Lindqvist", 184_320, 412),
            "demo_food" => self.become_known("food", "Teo Bianchi | slow kitchen", 92_740, 655),
            "demo_fitness" => self.become_known("fitness", "Coach Nadia Osei", 411_900, 238),
            "demo_polyglot" => {
                self.become_known("travel", "Fourteen Tongues", 58_210, 1204);
                "One person, many languages 🌐\nAsk me which one I dream in"
                    .clone_into(&mut self.biography);
                self.shown = POLYGLOT_PAGE;
                self.posts_count = POLYGLOT_PAGE as u64;
                self.cadence_hours = 9;
            }
            _ => {}
        }
        if Conduct::of(&self.handle) == Conduct::Private {
            self.private = true;
            self.shown = 0;
        }
    }

    fn become_known(&mut self, persona: &str, name: &str, followers: u64, following: u64) {
        if let Some(persona) = persona::named(persona) {
            self.persona = persona;
            persona.bios[0].clone_into(&mut self.biography);
        }
        name.clone_into(&mut self.full_name);
        self.followers = followers;
        self.following = following;
        self.likes_per_10k = 310;
        self.verified = followers > 100_000;
        self.business = true;
        self.collaborates = true;
        self.second_language = None;
    }

    /// What is written under each shown post, newest first, with its language.
    pub fn captions(&self) -> Vec<(&'static str, Caption)> {
        if self.shown > PAGE {
            return self.many_languages();
        }
        let mut dice = Dice::of(&["captions", &self.handle]);
        let mut own = Draw::new(self.persona.captions, &mut dice);
        let mut second = self.second_language.map(|shelf| Draw::new(shelf, &mut dice));
        (0..self.shown)
            .map(|index| match (&mut second, index % 3) {
                (Some(second), 1) => second.next(),
                _ => own.next(),
            })
            .collect()
    }

    fn many_languages(&self) -> Vec<(&'static str, Caption)> {
        let mut dice = Dice::of(&["captions", &self.handle]);
        let mut draws: Vec<Draw> = LANGUAGES
            .iter()
            .chain([&self.persona.captions])
            .map(|shelf| Draw::new(*shelf, &mut dice))
            .collect();
        let languages = draws.len();
        (0..self.shown).map(|index| draws[index % languages].next()).collect()
    }

    /// When each shown post was published, newest first, in seconds since 1970.
    pub fn moments(&self) -> Vec<u64> {
        let mut dice = Dice::of(&["moments", &self.handle]);
        let mut moment = PRESENT - dice.between(2 * 3600, 30 * 3600);
        (0..self.shown)
            .map(|_| {
                let now = moment;
                moment -= self.cadence_hours * dice.between(40, 160) * 36 + dice.below(3600);
                now
            })
            .collect()
    }
}

/// Captions of one shelf in a thrown order, round and round.
struct Draw {
    language: &'static str,
    captions: Vec<Caption>,
    order: Vec<usize>,
    drawn: usize,
}

impl Draw {
    fn new(shelf: Shelf, dice: &mut Dice) -> Self {
        let captions = shelf.captions();
        let order = dice.order(captions.len());
        Self { language: shelf.language, captions, order, drawn: 0 }
    }

    fn next(&mut self) -> (&'static str, Caption) {
        let place = self.order[self.drawn % self.order.len()];
        self.drawn += 1;
        (self.language, self.captions[place].clone())
    }
}

/// Most accounts are small: each step up in size is rarer than the one before.
fn thrown_followers(dice: &mut Dice) -> u64 {
    let step = match dice.below(100) {
        0..25 => 900,
        25..50 => 3_600,
        50..72 => 14_000,
        72..88 => 56_000,
        88..96 => 220_000,
        _ => 900_000,
    };
    step * dice.between(100, 395) / 100 + dice.below(97)
}

/// The larger the audience, the smaller the share of it that likes a post.
fn thrown_likes(dice: &mut Dice, followers: u64) -> u64 {
    match followers {
        0..10_000 => dice.between(380, 920),
        10_000..100_000 => dice.between(190, 520),
        100_000..1_000_000 => dice.between(90, 360),
        _ => dice.between(50, 210),
    }
}

/// A name read out of a handle: `ana.lopez_92` becomes `Ana Lopez`.
fn spoken(handle: &str) -> String {
    let words: Vec<String> = handle
        .split(['.', '_'])
        .map(|word| word.trim_end_matches(|letter: char| letter.is_ascii_digit()))
        .filter(|word| !word.is_empty())
        .map(|word| word[..1].to_ascii_uppercase() + &word[1..])
        .collect();
    if words.is_empty() { handle.to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_present_is_what_it_says() {
        let present = chrono::DateTime::from_timestamp(PRESENT as i64, 0).expect("in range");
        assert_eq!(present.to_rfc3339(), "2026-11-01T00:00:00+00:00");
    }

    #[test]
    fn names_are_read_out_of_handles() {
        assert_eq!(spoken("ana.lopez_92"), "Ana Lopez");
        assert_eq!(spoken("1984"), "1984");
        assert_eq!(spoken("_x_"), "X");
    }

    #[test]
    fn any_handle_is_somebody_with_twelve_posts() {
        let mut personas = HashSet::new();
        let mut ids = HashSet::new();
        for number in 0..500 {
            let character = Character::of(&format!("somebody_{number}"));
            assert_eq!(character.captions().len(), 12);
            assert!(character.posts_count >= 12 && character.followers > 0);
            assert!(ids.insert(character.id), "two people with one id");
            personas.insert(character.persona.name);
            let moments = character.moments();
            assert!(moments.iter().all(|moment| *moment < PRESENT));
            assert!(moments.windows(2).all(|pair| pair[0] > pair[1]), "newest first");
            assert!(PRESENT - moments[11] < 90 * 86_400, "the past weeks");
        }
        assert_eq!(personas.len(), PERSONAS.len(), "every persona occurs");
    }

    #[test]
    fn the_polyglot_writes_200_posts_in_14_languages() {
        let captions = Character::of("demo_polyglot").captions();
        assert_eq!(captions.len(), 200);
        let languages: HashSet<_> = captions.iter().map(|(language, _)| language).collect();
        assert_eq!(languages.len(), 14);
        let texts: Vec<_> = captions.iter().filter_map(|(_, text)| text.as_ref()).collect();
        assert_eq!(texts.iter().collect::<HashSet<_>>().len(), texts.len(), "none twice");
    }

    #[test]
    fn the_famous_are_who_they_are() {
        for (handle, persona) in
            [("demo_travel", "travel"), ("demo_food", "food"), ("demo_fitness", "fitness")]
        {
            assert_eq!(Character::of(handle).persona.name, persona);
        }
        let private = Character::of("demo_private");
        assert!(private.private && private.posts_count > 0 && private.captions().is_empty());
    }
}
