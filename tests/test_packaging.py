"""What setup.cfg promises to ship is what is there, and the repository stays light."""

import configparser
import pathlib
import subprocess

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
MAX_BYTES = 8_000_000
FOLDERS_OF_DATA = {"ar_zoo.data": "ar_zoo/data", "ar_zoo._exported": "exported", "ar_zoo._web": "tools/web"}


def test_the_package_list_equals_the_folders():
    listed = packages()
    assert listed == sorted(set(listed)), "setup.cfg lists a package twice"
    assert listed == sorted([*folders_with_init(), "ar_zoo._exported", "ar_zoo._recipes", "ar_zoo._web"])


def test_recipes_presets_and_the_page_travel_inside_the_package():
    mapping = dict(line.split(" = ") for line in lines("options", "package_dir"))
    assert mapping == {"ar_zoo._recipes": "recipes", "ar_zoo._exported": "exported", "ar_zoo._web": "tools/web"}
    assert all((REPOSITORY / folder).is_dir() for folder in mapping.values())


def test_every_data_file_is_shipped():
    """Each file in git below a data folder is matched by one of that package's patterns."""
    for package, folder in FOLDERS_OF_DATA.items():
        patterns = lines("options.package_data", package)
        shipped = {path for pattern in patterns for path in (REPOSITORY / folder).glob(pattern)}
        files = {path for path in files_in_git(folder) if path.suffix != ".py"}
        assert files, f"no data in {folder}"
        assert files <= shipped, f"setup.cfg ships no {sorted(map(str, files - shipped))}"


def test_no_file_is_large():
    large = [str(path) for path in files_in_git(".") if path.stat().st_size >= MAX_BYTES]
    assert large == []


def packages():
    return sorted(lines("options", "packages"))


def folders_with_init():
    return [".".join(path.parent.relative_to(REPOSITORY).parts) for path in REPOSITORY.glob("ar_zoo/**/__init__.py")]


def files_in_git(folder):
    """Paths of all files below `folder` that are in git or would be after `git add`."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", folder]
    output = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    paths = {REPOSITORY / name for name in output.split("\0") if name}
    return {path for path in paths if path.is_file()}


def lines(section, option):
    """The lines of a setup.cfg list, comments left out."""
    config = configparser.ConfigParser()
    config.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    text = config[section][option].splitlines()
    return [line.strip() for line in text if line.strip() and not line.lstrip().startswith("#")]
