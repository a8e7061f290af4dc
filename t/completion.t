#!/usr/bin/perl
# Completion in bash: what is offered at each place are the commands, options, keys and words that the programs know, and files
# where a file is wanted. bash is not asked by hand: the function is called as bash would call it.
use Test2::V0;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);

my $source = $ENV{TEST_SRCDIR} // abs_path(dirname(__FILE__) . '/..');
my $build = $ENV{TEST_BUILDDIR} // "$source/build";
my $scratch = tempdir('battlepass-completion-XXXXXX', TMPDIR => 1, CLEANUP => 1);
$ENV{PATH} = "$build:$ENV{PATH}";

my $asks = <<'BASH';
set -u
exec 2>&1
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
"_$1" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
BASH

sub said {
    my (@words) = @_;
    open(my $out, '-|', @words) or die "$words[0]: $!";
    local $/ = undef;
    return <$out> // '';
}

sub slurp {
    my ($file) = @_;
    open my $in, '<', "$source/$file" or die "$file: $!";
    local $/ = undef;
    return scalar <$in>;
}

# The words as bash splits them, the last one up to the cursor.
sub completed {
    my (@words) = @_;
    return [ sort grep { $_ ne '' } split /\n/, said('bash', '--norc', '-c', "cd $scratch; $asks", 'bash', "$source/completion/battlepassctl", @words) ];
}

sub completes {
    my ($words, $expected, $name) = @_;
    return is(completed(@$words), [ sort @$expected ], $name // join ' ', @$words);
}

my $help = said('battlepassctl', '--help');
my @commands = $help =~ /^  ((?:[a-z]+ ?)+?)(?: [^a-z\n].*)?\n      /mg;
my @options = $help =~ /^  (-\w), (--[a-z-]+)/mg;
my %groups;
for my $command (@commands) {
    my ($first, $second) = split / /, $command;
    $groups{$first} //= [];
    push @{ $groups{$first} }, $second if defined $second;
}

subtest 'commands' => sub {
    cmp_ok(scalar @commands, '>', 15, 'there are some');
    completes([ 'battlepassctl', '' ], [ keys %groups ], 'first words');
    completes([ 'battlepassctl', $_, '' ], $groups{$_}, "second words of $_") for grep { @{ $groups{$_} } } sort keys %groups;
    completes([ 'battlepassctl', 's' ], [ 'season' ], 'a letter');
    completes([ 'battlepassctl', 'season', '-' ], [ '--help' ], 'help of a group');
    completes([ 'battlepassctl', @$_, '' ], [], "nothing behind @$_") for [ 'frob' ], [ 'season', 'frob' ], [ 'doctor' ], [ 'cache', 'status' ];
};

subtest 'options' => sub {
    completes([ 'battlepassctl', '-' ], \@options, 'of all commands');
    for my $command (@commands) {
        my @words = ('battlepassctl', split / /, $command);
        my @own = said(@words, '--help') =~ /^  (--[a-z]+)/mg;
        completes([ @words, '-' ], [ @own, '--help' ], "of $command");
    }
    completes([ 'battlepassctl', 'season', 'publish', '--in', '3', '-' ], ['--in'], 'behind one with its value');
    completes([ 'battlepassctl', 'season', 'publish', 's1', '-' ], ['--in'], 'behind an argument');
    completes([ 'battlepassctl', 'season', 'publish', '--in', '' ], [], 'no words for a number');
    my @of_daemon = said('battlepassd', '--help') =~ /^  (?:(-\w), |    )(--[a-z-]+)/mg;
    completes([ 'battlepassd', '-' ], [ grep { defined } @of_daemon ], 'of battlepassd');
    completes([ 'battlepassctl', @$_, 's' ], ['season'], "a command behind @$_")
        for [ '-c', 'x.conf' ], [ '--config', '=', 'x.conf' ], [ '-o', 'store.port', '=', '3' ], [ '-o', 'a.b', '-c', 'x' ], ['-V'];
};

subtest 'keys' => sub {
    my ($section, @keys) = ('');
    for my $line (split /\n/, said('battlepassd', '--sample-config')) {
        $section = "$1." if $line =~ /^(\w+) \{$/;
        push @keys, "$section$1=" if $line =~ /^\t?#(\w+) = /;
    }
    cmp_ok(scalar @keys, '>', 40, 'there are some');
    completes([ $_->[0], $_->[1], '' ], \@keys) for [qw(battlepassctl -o)], [qw(battlepassctl --option)], [qw(battlepassd -o)];
    completes([ 'battlepassctl', '-o', 'cache.t' ], [ 'cache.ttl_s=', 'cache.turn_timeout_ms=' ], 'of those, the ones that begin so');
    completes([ 'battlepassctl', 'token', '-o' ], [], 'not behind a command');
};

subtest 'files and folders' => sub {
    for my $name ('keys.json', 'season one.json') { open my $out, '>', "$scratch/$name" or die $!; close $out }
    mkdir "$scratch/sql" or die $!;
    my @all = ('keys.json', 'season one.json', 'sql');
    completes([ 'battlepassctl', @$_, '' ], \@all)
        for ['-c'], ['--config'], [ '--config', '=' ], [qw(season import)], [qw(season validate)], [qw(token --key)], [qw(key generate --private)],
        [qw(key generate --set)];
    completes([ 'battlepassd', '-c', 'k' ], ['keys.json']);
    completes([ 'battlepassctl', 'migrate', '--sql', '' ], ['sql'], 'a folder');
    completes([ 'battlepassctl', 'migrate', '--sql', '=', 's' ], ['sql'], 'a folder behind =');
    completes([ 'battlepassctl', 'season', 'import', 'keys.json', '' ], [], 'one file is enough');
    completes([ 'battlepassctl', 'season', 'publish', 'k' ], [], 'no files where none is wanted');
};

subtest 'words that no help tells' => sub {
    my ($roles) = slurp('src/ctl/token.c') =~ /no such role: %s \((.*?)\)/;
    completes([qw(battlepassctl token --role), ''], [ split /, /, $roles ], 'roles');
    completes([qw(battlepassctl token --role = v)], ['viewer'], 'a role behind =');
    my ($algorithms) = said(qw(battlepassctl key generate --help)) =~ /--algorithm A +(.*)/;
    completes([qw(battlepassctl key generate --algorithm), ''], [ $algorithms =~ /\b([A-Z]\w+\d+|EdDSA)\b/g ], 'algorithms');
    my @flags = slurp('src/service/flags.c') =~ /^\t\[FLAG_\w+\] = \{"(\w+)", (\w+)/mg;
    cmp_ok(scalar @flags, '>', 6, 'flags');
    while (my ($flag, $is_switch) = splice @flags, 0, 2) {
        ok((grep { $_ eq $flag } @{ completed(qw(battlepassctl flag), '') }), "flag $flag");
        completes([ qw(battlepassctl flag), $flag, 'o' ], $is_switch eq 'true' ? [qw(off on)] : [], "values of $flag");
    }
    is(scalar @{ completed(qw(battlepassctl flag), '') }, scalar(() = slurp('src/service/flags.c') =~ /^\t\[FLAG_/mg), 'and no other flag');
};

subtest 'what bash is told' => sub {
    my $told = said('bash', '--norc', '-c', "source '$source/completion/battlepassctl'; complete -p battlepassctl battlepassd");
    is($told, "complete -F _battlepassctl battlepassctl\ncomplete -F _battlepassd battlepassd\n", 'a function for each program');
    my $other = said('bash', '--norc', '-c', "cd $scratch; " . $asks =~ s/set -u/PATH=\/usr\/bin:\/bin/r, 'bash', "$source/completion/battlepassctl", 'battlepassctl', '');
    is($other, "\n", 'nothing where the program is not there');
};

done_testing;
