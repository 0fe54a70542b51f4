"""Packages of PHP and Ruby: the build installs them, and a function finds them."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.serving import Api, pack

GEMSPEC = """
Gem::Specification.new do |spec|
  spec.name = 'greeter'
  spec.version = '1.2.3'
  spec.summary = 'Greets'
  spec.authors = ['Ada']
  spec.homepage = 'https://example.com'
  spec.license = 'MIT'
  spec.files = ['lib/greeter.rb']
end
"""
GREETER = "module Greeter\n  NAME = 'greeter'\nend\n"
RUBY = """
require 'greeter'

def main(context)
  context.res.text(Greeter::NAME)
end
"""
PHP = """<?php

require 'vendor/autoload.php';

return fn ($context) => $context->res->text(Acme\\Greeter::NAME);
"""
#: Composer takes a package from the upload and asks no registry.
COMPOSER = {
    "repositories": [
        {"type": "path", "url": "packages/*", "options": {"symlink": False}},
        {"packagist.org": False},
    ],
    "require": {"acme/greeter": "*"},
}
GREETER_PHP = {
    "packages/greeter/composer.json": json.dumps(
        {
            "name": "acme/greeter",
            "version": "1.0.0",
            "autoload": {"psr-4": {"Acme\\": "src/"}},
        }
    ),
    "packages/greeter/src/Greeter.php": (
        "<?php\nnamespace Acme;\nclass Greeter {\n    const NAME = 'greeter';\n}\n"
    ),
}


def needs(tool: str) -> str:
    """Return the path of a program; skips without it."""
    path = shutil.which(tool)
    if path is None:
        pytest.skip(f"{tool} is not on PATH: install it with the system's packages")
    return path


def runtime(api: Api, family: str) -> str:
    try:
        return api.runtime(family)
    except LookupError as missing:
        pytest.skip(str(missing))


def answer(
    api: Api,
    function_id: str,
    family: str,
    files: Mapping[str, str | bytes],
    *,
    entrypoint: str,
    commands: str = "",
) -> tuple[Any, Any]:
    """Deploy files, and return the deployment and an execution."""
    api.create(function_id, runtime(api, family), entrypoint=entrypoint, commands=commands)
    content = {
        name: text if isinstance(text, bytes) else text.encode() for name, text in files.items()
    }
    deployment = api.deploy(function_id, pack(extra=content))
    return deployment, api.execute(function_id)


@pytest.fixture
def gem(tmp_path: Path) -> bytes:
    """The file of a gem."""
    program = needs("gem")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "greeter.rb").write_text(GREETER)
    (tmp_path / "greeter.gemspec").write_text(GEMSPEC)
    subprocess.run(
        [program, "build", "-q", "greeter.gemspec"], cwd=tmp_path, check=True, capture_output=True
    )
    return (tmp_path / "greeter-1.2.3.gem").read_bytes()


def test_composer_installs_without_commands(api: Api) -> None:
    needs("composer")
    files = {"index.php": PHP, "composer.json": json.dumps(COMPOSER), **GREETER_PHP}
    deployment, execution = answer(api, "composer", "php", files, entrypoint="index.php")
    assert "running `composer install --no-dev" in deployment["buildLogs"]
    assert execution["responseBody"] == "greeter", execution["errors"]


def test_a_gemfile_is_installed_without_commands(api: Api) -> None:
    needs("bundle")
    files = {
        "main.rb": RUBY,
        "Gemfile": "source 'https://rubygems.org'\ngem 'greeter', path: 'gems/greeter'\n",
        "gems/greeter/greeter.gemspec": GEMSPEC,
        "gems/greeter/lib/greeter.rb": GREETER,
    }
    deployment, execution = answer(api, "gemfile", "ruby", files, entrypoint="main.rb")
    assert "running `bundle install`" in deployment["buildLogs"]
    assert execution["responseBody"] == "greeter", execution["errors"]


def test_bundler_installs_into_the_build(api: Api, gem: bytes) -> None:
    needs("bundle")
    files: dict[str, str | bytes] = {
        "main.rb": RUBY,
        "Gemfile": "source 'https://rubygems.org'\ngem 'greeter'\n",
        "vendor/cache/greeter-1.2.3.gem": gem,
    }
    _, execution = answer(
        api, "bundler", "ruby", files, entrypoint="main.rb", commands="bundle install --local"
    )
    assert execution["responseBody"] == "greeter", execution["errors"]


def test_gem_install_works_in_commands(api: Api, gem: bytes) -> None:
    _, execution = answer(
        api,
        "gem-install",
        "ruby",
        {"main.rb": RUBY, "greeter-1.2.3.gem": gem},
        entrypoint="main.rb",
        commands="gem install --local --no-document greeter-1.2.3.gem",
    )
    assert execution["responseBody"] == "greeter", execution["errors"]


def test_ruby_without_gems_starts_without_rubygems(api: Api) -> None:
    source = """
def main(context)
  loaded = $LOADED_FEATURES.any? { |file| file.end_with?('/rubygems.rb') }
  context.res.json({ loaded: loaded, version: Gem::Version.new('1.10') > Gem::Version.new('1.9') })
end
"""
    _, execution = answer(api, "no-gems", "ruby", {"main.rb": source}, entrypoint="main.rb")
    assert json.loads(execution["responseBody"]) == {"loaded": False, "version": True}
