//! The modules of a crate, and which of them use which: by `use`, and by paths in the code.

use std::collections::{BTreeMap, BTreeSet};

use crate::tokens::Token::{self, Mark, Name};
use crate::tokens::tokens;

/// A module, by the names on the path from the crate's root.
pub type Path = Vec<String>;

/// The content of one file.
#[derive(Debug, Default)]
struct Module {
    /// Its items.
    items: BTreeSet<String>,
    /// The names that its `use` lines import, with the full paths.
    imports: BTreeMap<String, Path>,
    /// The modules from which a `use` line imports everything.
    globs: BTreeSet<Path>,
    /// All paths within the crate that the file contains.
    mentions: BTreeSet<Path>,
}

/// The modules of one crate.
#[derive(Debug, Default)]
pub struct Modules(BTreeMap<Path, Module>);

/// Siblings that use each other.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cycle {
    /// The parent of the siblings.
    pub parent: Path,
    /// The names of the siblings, in order.
    pub members: BTreeSet<String>,
    /// The uses that close the cycle, each as the module and the path that it uses.
    pub uses: BTreeSet<(String, String)>,
}

/// The uses between the children of a module: which child uses which, with the module and the path
/// that it uses.
type Graph = BTreeMap<(String, String), BTreeSet<(String, String)>>;

impl Modules {
    /// Reads files, given by their path below the crate's `src`. Test files are not among them.
    pub fn of<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut modules = BTreeMap::new();
        for (file, text) in files {
            let names = file.trim_end_matches(".rs").trim_end_matches("/mod");
            let is_root = names == "lib" || names == "main";
            let path = if is_root { "" } else { names };
            let path: Path = path.split('/').map(str::to_owned).collect();
            let path = if is_root { Path::new() } else { path };
            let module = Reader::read(&path, &tokens(text));
            modules.insert(path, module);
        }
        Self(modules)
    }

    /// Returns the module that defines the item of a path.
    fn owner(&self, path: &[String]) -> Path {
        let owner = self.resolve(path, &mut BTreeSet::new());
        owner.unwrap_or_default()
    }

    /// Returns `None` for names that only import each other.
    fn resolve(&self, path: &[String], seen: &mut BTreeSet<Path>) -> Option<Path> {
        if !seen.insert(path.to_vec()) {
            return None;
        }
        let mut at = Path::new();
        for (index, name) in path.iter().enumerate() {
            let mut child = at.clone();
            child.push(name.clone());
            if self.0.contains_key(&child) {
                at = child;
                continue;
            }
            let Some(module) = self.0.get(&at) else { break };
            if module.items.contains(name) {
                break;
            }
            let with_rest = |from: &Path, skip: usize| {
                let mut to = from.clone();
                to.extend_from_slice(&path[index + skip..]);
                to
            };
            let import = module.imports.get(name);
            if let Some(owner) = import.and_then(|it| self.resolve(&with_rest(it, 1), seen)) {
                return Some(owner);
            }
            let is_there = |from: &&Path| {
                let module = self.0.get(*from);
                module.is_some_and(|it| it.items.contains(name) || it.imports.contains_key(name))
            };
            let from = module.globs.iter().find(is_there);
            if let Some(owner) = from.and_then(|it| self.resolve(&with_rest(it, 0), seen)) {
                return Some(owner);
            }
            break;
        }
        Some(at)
    }

    /// Returns all cycles between the children of one module.
    pub fn cycles(&self) -> BTreeSet<Cycle> {
        let mut graphs: BTreeMap<Path, Graph> = BTreeMap::new();
        for (path, module) in &self.0 {
            for mention in &module.mentions {
                let owner = self.owner(mention);
                let shared = path.iter().zip(&owner).take_while(|(a, b)| a == b).count();
                // An ancestor is not a sibling.
                if let (Some(from), Some(to)) = (path.get(shared), owner.get(shared)) {
                    let graph = graphs.entry(path[..shared].to_vec()).or_default();
                    let uses = graph.entry((from.clone(), to.clone())).or_default();
                    uses.insert((path.join("::"), mention.join("::")));
                }
            }
        }
        let cycles = graphs.iter().flat_map(|(parent, graph)| {
            let edges: BTreeSet<&(String, String)> = graph.keys().collect();
            circles(&edges).into_iter().map(|members| Cycle {
                parent: parent.clone(),
                uses: graph
                    .iter()
                    .filter(|((from, to), _)| members.contains(from) && members.contains(to))
                    .flat_map(|(_, uses)| uses.clone())
                    .collect(),
                members,
            })
        });
        cycles.collect()
    }
}

/// Returns the sets of nodes that reach each other.
fn circles(edges: &BTreeSet<&(String, String)>) -> BTreeSet<BTreeSet<String>> {
    let reach = |from: &str| {
        let mut reached = BTreeSet::new();
        let mut open = vec![from.to_owned()];
        while let Some(node) = open.pop() {
            for (_, to) in edges.iter().filter(|(from, _)| *from == node) {
                if reached.insert(to.clone()) {
                    open.push(to.clone());
                }
            }
        }
        reached
    };
    let nodes: BTreeSet<&str> = edges.iter().map(|(from, _)| from.as_str()).collect();
    let reached: BTreeMap<&str, BTreeSet<String>> =
        nodes.iter().map(|node| (*node, reach(node))).collect();
    let circle = |node: &&str| {
        let own = &reached[*node];
        let back = |other: &&String| {
            reached
                .get(other.as_str())
                .is_some_and(|it| it.contains(*node))
        };
        own.iter().filter(back).cloned().collect::<BTreeSet<_>>()
    };
    nodes.iter().map(circle).filter(|it| it.len() > 1).collect()
}

#[cfg(test)]
#[path = "modules_tests.rs"]
mod tests;

/// Reads the paths of one file.
struct Reader<'a> {
    path: &'a Path,
    tokens: &'a [Token<'a>],
    module: Module,
}

impl<'a> Reader<'a> {
    fn read(path: &'a Path, tokens: &'a [Token<'a>]) -> Module {
        let mut reader = Self {
            path,
            tokens,
            module: Module::default(),
        };
        reader.walk();
        reader.module
    }

    fn name(&self, at: usize) -> Option<&'a str> {
        match self.tokens.get(at) {
            Some(Name(name)) => Some(name),
            _ => None,
        }
    }

    fn is_mark(&self, at: usize, mark: char) -> bool {
        self.tokens.get(at) == Some(&Mark(mark))
    }

    fn is_separator(&self, at: usize) -> bool {
        self.is_mark(at, ':') && self.is_mark(at + 1, ':')
    }

    fn walk(&mut self) {
        // The open blocks: whether each is a module of its own within the file.
        let mut blocks = Vec::new();
        let mut module_begins = false;
        let mut at = 0;
        while at < self.tokens.len() {
            let inner = blocks.iter().filter(|is_module| **is_module).count();
            match self.tokens[at] {
                Mark('{') => {
                    blocks.push(std::mem::take(&mut module_begins));
                    at += 1;
                }
                Mark('}') => {
                    blocks.pop();
                    at += 1;
                }
                Name("use") => at = self.import(at + 1, inner),
                Name("crate" | "super" | "self") if self.is_separator(at + 1) => {
                    at = self.mention(at, inner);
                }
                Name("mod") if self.is_mark(at + 2, '{') => {
                    module_begins = true;
                    self.item(at);
                    at += 2;
                }
                Name(
                    "struct" | "enum" | "fn" | "trait" | "type" | "const" | "static" | "union"
                    | "macro_rules",
                ) => {
                    if blocks.is_empty() {
                        self.item(at);
                    }
                    at += 1;
                }
                _ => at += 1,
            }
        }
    }

    /// Records the item that is defined here.
    fn item(&mut self, at: usize) {
        let after = if self.is_mark(at + 1, '!') {
            at + 2
        } else {
            at + 1
        };
        if let Some(name) = self.name(after) {
            self.module.items.insert(name.to_owned());
        }
    }

    /// Returns the full path that begins with a keyword, and the number of names that it took.
    /// `inner` is the number of modules within the file around it.
    fn begin(&self, mut at: usize, inner: usize) -> Option<(Path, usize)> {
        let mut up: usize = match self.name(at)? {
            "crate" => return Some((Path::new(), at + 1)),
            "self" => 0,
            "super" => 1,
            _ => return None,
        };
        at += 1;
        while self.is_separator(at) && self.name(at + 2) == Some("super") {
            up += 1;
            at += 3;
        }
        // In a module within the file, `super` is the file.
        let up = up.saturating_sub(inner).min(self.path.len());
        Some((self.path[..self.path.len() - up].to_vec(), at))
    }

    /// Records a path in the code.
    fn mention(&mut self, at: usize, inner: usize) -> usize {
        let Some((mut path, mut at)) = self.begin(at, inner) else {
            return at + 1;
        };
        while self.is_separator(at)
            && let Some(name) = self.name(at + 2)
        {
            path.push(name.to_owned());
            at += 3;
        }
        self.module.mentions.insert(path);
        at
    }

    /// Records a `use` line.
    fn import(&mut self, at: usize, inner: usize) -> usize {
        if let Some((path, at)) = self.begin(at, inner) {
            return self.tree(path, at, inner == 0);
        }
        // A path relative to this module, or into another crate.
        self.tree(self.path.clone(), at, inner == 0)
    }

    /// Records the rest of a `use` line after `path`. `outside` means that the line is not inside a
    /// module of the file.
    fn tree(&mut self, mut path: Path, mut at: usize, outside: bool) -> usize {
        loop {
            if self.is_separator(at) {
                at += 2;
            }
            match self.tokens.get(at) {
                Some(Mark('{')) => {
                    at += 1;
                    while !self.is_mark(at, '}') && at < self.tokens.len() {
                        at = self.tree(path.clone(), at, outside);
                        if self.is_mark(at, ',') {
                            at += 1;
                        }
                    }
                    return at + 1;
                }
                Some(Mark('*')) => {
                    self.module.mentions.insert(path.clone());
                    if outside {
                        self.module.globs.insert(path);
                    }
                    return at + 1;
                }
                Some(Name("as")) => {
                    let name = self.name(at + 1).unwrap_or_default().to_owned();
                    self.bind(name, path, outside);
                    return at + 2;
                }
                Some(Name("self")) => at += 1,
                Some(Name(name)) => {
                    path.push((*name).to_owned());
                    at += 1;
                }
                _ => {
                    let name = path.last().cloned().unwrap_or_default();
                    self.bind(name, path, outside);
                    return at;
                }
            }
        }
    }

    fn bind(&mut self, name: String, path: Path, outside: bool) {
        self.module.mentions.insert(path.clone());
        if outside {
            self.module.imports.insert(name, path);
        }
    }
}
