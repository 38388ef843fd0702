//! Options and commands as they are written.

use super::*;

#[test]
fn options_are_read_as_they_are_written() {
    let read = |text| {
        let mut options = read_options(text);
        (options.pop().unwrap(), options.len())
    };
    let (option, before) = read(
        "
        --list: List all.
        --topic, -t <topic id>: The topic: one,
            or --all.
        ",
    );
    assert_eq!((option.name, option.alias, before), ("topic", "t", 1));
    assert_eq!(option.arity, Arity::Value("topic id"));
    assert_eq!(option.help, "The topic: one, or --all.");
    let arity = |text| read(text).0.arity;
    assert_eq!(arity("--state [states]: x"), Arity::Optional("states"));
    assert_eq!(arity("--props <p>...: x"), Arity::Many("p"));
    assert_eq!(arity("--yes, -y: x"), Arity::Flag);
}

#[test]
fn commands_are_read_as_they_are_written() {
    let commands = read_commands(
        "
        list: List: all,
            or some.
        describe: Describe.
            --topic, -t <topic>: The topic: one,
                or --all.
            --all: All.
        add: Add.
        ",
    );
    let texts = commands.iter().map(|command| {
        let options: Vec<String> = command
            .options
            .iter()
            .map(|option| option.name.to_owned() + ": " + &option.help)
            .collect();
        (command.name, command.help.as_str(), options.join(" | "))
    });
    let texts: Vec<_> = texts.collect();
    let options = "topic: The topic: one, or --all. | all: All.".to_owned();
    assert_eq!(
        texts,
        [
            ("list", "List: all, or some.", String::new()),
            ("describe", "Describe.", options),
            ("add", "Add.", String::new()),
        ]
    );
}

#[test]
fn every_tool_declares_options_of_this_form_once() {
    for tool in crate::tools::TOOLS {
        let commands = read_commands(tool.syntax.commands);
        let mut own: Vec<Vec<Opt>> = commands
            .into_iter()
            .map(|command| command.options)
            .collect();
        own.push(
            tool.syntax
                .options
                .iter()
                .flat_map(|text| read_options(text))
                .collect(),
        );
        let texts = tool.syntax.options.iter().chain([&tool.syntax.commands]);
        let lines = texts.flat_map(|text| text.lines());
        let begun = lines.filter(|line| line.trim_start().starts_with("--"));
        let read: usize = own.iter().map(Vec::len).sum();
        assert!(read <= begun.count(), "{}", tool.name);
        for options in own {
            let mut names: Vec<&str> = options.iter().map(|option| option.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), options.len(), "{}: {names:?}", tool.name);
        }
        for text in tool.syntax.options.iter().copied() {
            assert!(!read_options(text).is_empty(), "{}: {text}", tool.name);
        }
    }
}
