#!/usr/bin/perl
# battlepassctl migrate on a database server of its own: once, twice, from many at once, and when something is wrong; and what
# the daemon says to a schema that it cannot work with.
use Test2::V0;
use Cwd qw(abs_path);
use DBI;
use File::Copy qw(copy);
use File::Temp qw(tempdir);
use JSON::PP qw(decode_json encode_json);
use POSIX ();
use Time::HiRes qw(sleep time);

my $source = $ENV{TEST_SRCDIR} // abs_path('.');
my $build = $ENV{TEST_BUILDDIR} // "$source/build";
my $scratch = tempdir('battlepass-test-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $stack = "$scratch/stack";
my $main_pid = $$;

system("$source/t/stack", 'start', '--dir', $stack, 'mariadb') == 0 or die 'no database server';

END {
    if ($$ == $main_pid) {
        my $status = $?; # the test's own
        my $stopped = system("$source/t/stack", 'stop', '--dir', $stack) == 0;
        $? = $status || !$stopped;
    }
}

my ($socket) = slurp("$stack/settings") =~ /^run=(.*)$/m;
$socket .= '/mariadb.sock';
my @sql = map { s{.*/}{}r } sort glob "$source/sql/*.sql";
my $last = 0 + $sql[-1] =~ s/_.*//r;

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!";
    local $/ = undef;
    return <$in> // '';
}

sub spew {
    my ($file, $text) = @_;
    open my $out, '>', $file or die "$file: $!";
    print {$out} $text;
    close $out or die "$file: $!";
    return;
}

# A program's exit status and both its outputs together.
sub run {
    my (@words) = @_;
    my $pid = open(my $out, '-|') // die "fork: $!";
    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDERR, '>&', \*STDOUT;
        exec @words or POSIX::_exit(127);
    }
    local $/ = undef;
    my $text = <$out> // '';
    close $out;
    return ($? & 127 ? "signal $?" : $? >> 8, $text);
}

# --- databases, each with a configuration of its own ---

my $databases = 0;
spew("$scratch/root.conf", "store {\n\tsocket = \"$socket\"\n\tuser = root\n}\n");
my ($key_status, $key_text) = run("$build/battlepassctl", '-c', "$scratch/root.conf", qw(key generate), '--private', "$scratch/key.json",
    '--set', "$scratch/set.json");
die $key_text if $key_status;
mkdir "$scratch/run" or die $!;

sub new_database {
    my ($charset) = @_;
    my $name = sprintf 'm%02d', ++$databases;
    connect_to('mysql')->do("CREATE DATABASE $name CHARACTER SET " . ($charset // 'utf8mb4'));
    spew("$scratch/$name.conf", <<"CONF");
run_dir = "$scratch/run"
store {
	socket = "$socket"
	user = root
	database = $name
}
auth {
	keys = "$scratch/set.json"
}
CONF
    return $name;
}

sub connect_to {
    my ($name) = @_;
    return DBI->connect("DBI:MariaDB:database=$name;mariadb_socket=$socket", 'root', '', { RaiseError => 1, PrintError => 0 });
}

sub ctl {
    my ($name, @words) = @_;
    return run("$build/battlepassctl", '-c', "$scratch/$name.conf", @words);
}

sub migrate {
    my ($name, $folder) = @_;
    return ctl($name, 'migrate', '--sql', $folder // "$source/sql");
}

# The daemon must come to an end by itself; -t or not makes no difference to that.
sub daemon {
    my ($name, @words) = @_;
    return run('timeout', '-k', '1', '5', "$build/battlepassd", '-c', "$scratch/$name.conf", @words);
}

# Runs code->() so many times beside this process; what each returned.
sub beside {
    my (@codes) = @_;
    my @pipes = map {
        my $code = $_;
        my $pid = open(my $from, '-|') // die "fork: $!";
        if ($pid == 0) {
            print STDOUT encode_json([ $code->() ]);
            STDOUT->flush;
            POSIX::_exit(0);
        }
        $from;
    } @codes;
    return map { my $from = $_; local $/ = undef; my $result = decode_json(<$from>); close $from; $result } @pipes;
}

# A folder with the project's migrations and these beside them.
my $folders = 0;

sub folder {
    my (%more) = @_;
    my $folder = sprintf '%s/sql-%d', $scratch, ++$folders;
    mkdir $folder or die "$folder: $!";
    copy("$source/sql/$_", "$folder/$_") or die "$_: $!" for @sql;
    spew("$folder/$_", $more{$_}) for keys %more;
    return $folder;
}

# The number that comes so many after the last one, as it stands in a file's name.
sub after_last {
    my ($after) = @_;
    return sprintf '%04d', $last + $after;
}

sub known {
    my ($name) = @_;
    return connect_to($name)->selectall_arrayref('SELECT version, name, finished FROM schema_migration ORDER BY version');
}

sub tables {
    my ($name) = @_;
    return connect_to($name)->selectcol_arrayref('SHOW TABLES');
}

my @all_known = map { [0 + s/_.*//r, $_, 1] } @sql;

# --- what must hold ---

subtest 'twice' => sub {
    my $name = new_database();
    my ($status, $text) = migrate($name);
    is($status, 0, 'migrated') or diag $text;
    is($text, join('', map { "running $_\n" } @sql) . "the schema of database \"$name\" is up to date\n", 'and told what was run');
    is(known($name), \@all_known, 'remembered as finished');
    my $tables = tables($name);
    ok(@$tables > 8, 'there are tables');
    my $checksums = connect_to($name)->selectall_arrayref('SELECT * FROM schema_migration');
    like($checksums->[0][2], qr/^[0-9a-f]{64}$/, 'with a SHA-256');
    is($checksums->[0][2], (split ' ', qx(sha256sum $source/sql/$sql[0]))[0], 'that of the file');
    ($status, $text) = migrate($name);
    is([$status, $text], [0, "the schema of database \"$name\" is up to date\n"], 'the second time nothing is run');
    is(tables($name), $tables, 'and nothing changed');
    is(connect_to($name)->selectall_arrayref('SELECT * FROM schema_migration'), $checksums, 'nor what is remembered');
    ($status, $text) = daemon($name, '-t');
    is($status, 0, 'the daemon can work with it') or diag $text;
};

subtest 'from the first schema, with players in it' => sub {
    my $name = new_database();
    my $first = "$scratch/first";
    mkdir $first or die "$first: $!";
    copy("$source/sql/$sql[0]", "$first/$sql[0]") or die "$sql[0]: $!";
    is((migrate($name, $first))[0], 0, 'the first schema');
    my ($status, $text) = daemon($name, '-t');
    is($status, 1, 'this build does not start on it');
    my $needed = $last - 1; # of the release before
    like($text, qr/is at version 1, this build needs $needed: run "battlepassctl migrate"/, 'and tells the command');
    my $db = connect_to($name);
    $db->do("INSERT INTO progress VALUES ('p-1', 's1', 900, 17, 1, 1, 5)");
    $db->do("INSERT INTO pass_ownership VALUES ('p-1', 's1', 'premium', 3)");
    $db->do("INSERT INTO claim VALUES ('p-1', 's1', 2, 'premium', 't2-gems', 4)");
    ($status, $text) = migrate($name);
    is($status, 0, 'migrated') or diag $text;
    is($text, join('', map { "running $_\n" } @sql[1 .. $#sql]) . "the schema of database \"$name\" is up to date\n", 'only what was missing was run');
    is($db->selectall_arrayref('SELECT player_id, season_id, xp, revision, pass_count, claim_count, updated_at_ms FROM progress'),
        [['p-1', 's1', 900, 17, 1, 1, 5]], 'the progress is what it was');
    is($db->selectall_arrayref('SELECT audit_count, HEX(audit_hash), overflow_paid FROM progress'), [[0, '0' x 64, 0]],
        'with a chain of nothing');
    is($db->selectall_arrayref('SELECT pass_id, since_ms, active FROM pass_ownership'), [['premium', 3, 1]], 'the pass is owned');
    is($db->selectall_arrayref('SELECT reward_id, claimed_at_ms, HEX(delivery_id) FROM claim'), [['t2-gems', 4, '0' x 32]], 'the claim stands');
    $db->do("INSERT INTO progress (player_id, season_id, xp) VALUES ('p-2', 's1', 1)");
    is((daemon($name, '-t'))[0], 0, 'the daemon can work with it');
};

subtest 'from eight hosts at once' => sub {
    my $name = new_database();
    my $one_more = after_last(1) . '_count.sql';
    my $folder = folder($one_more => "CREATE TABLE ran (n INT) ENGINE=InnoDB;\nDO SLEEP(0.3);\nINSERT INTO ran VALUES (1);\n");
    my @results = beside((sub { migrate($name, $folder) }) x 8);
    is([ map { $_->[0] } @results ], [ (0) x 8 ], 'each succeeds') or diag map { $_->[1] } @results;
    my %run;
    $run{$_}++ for map { $_->[1] =~ /^running (.*)$/mg } @results;
    is(\%run, { map { $_ => 1 } @sql, $one_more }, 'each file was run by one of them');
    is(connect_to($name)->selectall_arrayref('SELECT n FROM ran'), [[1]], 'once');
    is(known($name), [@all_known, [$last + 1, $one_more, 1]], 'all is finished');
};

subtest 'migrations that take long' => sub {
    my ($waited_for, $slow) = (new_database(), new_database());
    my $file = after_last(1) . '_slow.sql';
    my $slow_text = sub { "CREATE TABLE ran (n INT) ENGINE=InnoDB;\nDO SLEEP($_[0]);\nINSERT INTO ran VALUES (1);\n" };
    my ($three, $eleven) = map { folder($file => $slow_text->($_)) } 3, 11;
    my @results = beside(
        sub { migrate($waited_for, $three) },
        sub { sleep 0.7; migrate($waited_for, $three) },
        sub { sleep 1; migrate($waited_for, $three) },
        sub { migrate($slow, $eleven) },
    );
    is($results[0][0], 0, 'three seconds: it succeeds') or diag $results[0][1];
    for my $other (@results[1, 2]) {
        is($other->[0], 0, 'who comes meanwhile waits and succeeds') or diag $other->[1];
        unlike($other->[1], qr/^running/m, 'and runs nothing');
    }
    is(connect_to($waited_for)->selectall_arrayref('SELECT n FROM ran'), [[1]], 'it was run once');
    is($results[3][0], 0, 'eleven seconds: it succeeds') or diag $results[3][1];
    is(known($slow), [@all_known, [$last + 1, $file, 1]], 'and is finished');
};

subtest 'a file that was changed after it ran' => sub {
    my $name = new_database();
    migrate($name);
    my $folder = folder($sql[0] => slurp("$source/sql/$sql[0]") . "\n", after_last(1) . '_more.sql' => 'CREATE TABLE more (n INT);');
    my ($status, $text) = migrate($name, $folder);
    is($status, 1, 'refused');
    is($text, "battlepassctl: migrate: $sql[0] was changed after it ran here: restore the file\n", 'and told what to do');
    is([ grep { $_ eq 'more' } @{ tables($name) } ], [], 'nothing was run');
    copy("$source/sql/$sql[0]", "$folder/$sql[0]");
    ($status, $text) = migrate($name, $folder);
    is($status, 0, 'restored: it goes on') or diag $text;
    is(scalar(grep { $_ eq 'more' } @{ tables($name) }), 1, 'with the new one');
};

subtest 'folders that cannot be right' => sub {
    my $name = new_database();
    my $empty = "$scratch/empty";
    mkdir $empty;
    spew("$empty/README", 'nothing');
    my $more = 'CREATE TABLE more (n INT);';
    my @cases = (
        ['a number is missing', folder(after_last(2) . '_late.sql' => $more), qr/_late\.sql: expected number ${\($last + 1)}$/m],
        ['a number twice', folder(after_last(1) . '_a.sql' => $more, after_last(1) . '_b.sql' => $more), qr/_b\.sql: expected number ${\($last + 2)}$/m],
        ['number 0', folder('0000_null.sql' => $more), qr/0000_null\.sql: expected number 1$/m],
        ['none', $empty, qr{\Q$empty\E: there are no migrations}],
        ['no folder', "$scratch/nowhere", qr{\Q$scratch/nowhere\E: No such file or directory}],
        ['too large', folder(after_last(1) . '_large.sql' => "-- x\n" x 300_000), qr/_large\.sql: File too large/],
    );
    for my $case (@cases) {
        my ($what, $folder, $pattern) = @$case;
        my ($status, $text) = migrate($name, $folder);
        is($status, 1, "$what: refused");
        like($text, qr/^battlepassctl: migrate: .*$pattern/, "$what: told");
        is(tables($name), [], "$what: nothing was run");
    }
    my ($status, $text) = ctl($name, 'migrate', 'surplus');
    is($status, 1, 'a surplus word');
    like($text, qr/unexpected argument "surplus"/, 'a surplus word: told');
    my $with_others = folder('notes.txt' => 'x', after_last(1) . '_x.sql~' => 'x', '12_x.sql' => 'x', after_last(1) . '.sql' => 'x', '.sql' => 'x');
    ($status, $text) = migrate($name, $with_others);
    is($status, 0, 'other files are none of ours') or diag $text;
    is(known($name), \@all_known, 'and are not run');
};

subtest 'broken SQL' => sub {
    for my $broken (
        ['in the middle', "CREATE TABLE half (n INT);\nCREATE TABEL oops (n INT);\nCREATE TABLE rest (n INT);\n", ['half']],
        ['at the beginning', "CREATE TABEL oops (n INT);\nCREATE TABLE rest (n INT);\n", []],
        ['at the end', "CREATE TABLE half (n INT);\nINSERT INTO nowhere VALUES (1)", ['half']],
    ) {
        my ($where, $text_of_file, $left) = @$broken;
        my $name = new_database();
        my $file = after_last(1) . '_broken.sql';
        my $folder = folder($file => $text_of_file, after_last(2) . '_next.sql' => 'CREATE TABLE next_one (n INT);');
        my ($status, $text) = migrate($name, $folder);
        is($status, 1, "$where: refused");
        like($text, qr/^battlepassctl: migrate: \Q$file\E: 1\d\d\d: .*(?:syntax|nowhere)/m, "$where: file and what the server said");
        unlike($text, qr/up to date/, "$where: and no more");
        is(known($name), [@all_known, [$last + 1, $file, 0]], "$where: marked as begun, and the next one did not run");
        is([ grep { /^(?:half|rest|next_one)$/ } @{ tables($name) } ], $left, "$where: what stood before it ran, what came after did not");

        ($status, $text) = migrate($name, $folder);
        is($status, 1, "$where: not simply run again");
        like($text, qr/^battlepassctl: migrate: \Q$file\E was begun and did not finish: bring the schema .* delete its row from schema_migration and run this again$/m,
            "$where: told what to do");
        is(known($name), [@all_known, [$last + 1, $file, 0]], "$where: nothing changed");

        my $db = connect_to($name);
        $db->do("DROP TABLE $_") for @$left;
        $db->do('DELETE FROM schema_migration WHERE version = ?', undef, $last + 1);
        spew("$folder/$file", 'CREATE TABLE half (n INT);');
        ($status, $text) = migrate($name, $folder);
        is($status, 0, "$where: done as told, it goes on") or diag $text;
        is([ map { $_->[2] } @{ known($name) } ], [ (1) x ($last + 2) ], "$where: all finished");
    }
};

subtest 'the daemon and schemas' => sub {
    my $name = new_database();
    my $refused = sub {
        my ($what, $version) = @_;
        for my $words ([], ['-t']) {
            my ($status, $text) = daemon($name, @$words);
            is($status, 1, "$what: refused (@$words)");
            like($text =~ s/\\"/"/gr, qr/the schema of database "$name" is at version $version, this build needs \d+: run "battlepassctl migrate"/,
                "$what: told the command (@$words)");
        }
        my ($status, $text) = ctl($name, qw(season list));
        is($status, 1, "$what: battlepassctl refuses, too");
        like($text, qr/run "battlepassctl migrate"/, "$what: with the command");
    };
    $refused->('an empty database', 0);
    my ($status, $text) = daemon($name, '-t');
    unlike($text, qr/doesn't exist/, 'an empty database is told once, in our words');
    is(tables($name), [], 'and stays empty');
    is([ glob "$scratch/run/*" ], [], 'nothing is left in the run folder');
    migrate($name);
    my $db = connect_to($name);
    $db->do('UPDATE schema_migration SET finished = 0');
    $refused->('an unfinished schema', 0);
    $db->do('UPDATE schema_migration SET finished = 1');
    is((daemon($name, '-t'))[0], 0, 'finished: good');
    $db->do('DELETE FROM schema_migration');
    $refused->('an old schema', 0);

    $name = new_database();
    migrate($name);
    connect_to($name)->do("INSERT INTO schema_migration VALUES (?, 'from_the_future.sql', ?, 1, 0)", undef, $last + 7, '0' x 64);
    ($status, $text) = daemon($name, '-t');
    is($status, 0, 'a newer schema is accepted') or diag $text;
    ($status, $text) = migrate($name);
    is([$status, $text], [0, "the schema of database \"$name\" is up to date\n"], 'and migrate leaves it alone');
    ($status, $text) = ctl($name, qw(season list));
    is([$status, $text], [0, ''], 'battlepassctl works with it');
};

subtest 'whatever the database\'s default character set' => sub {
    my $document = slurp("$source/examples/season.json");
    $document =~ s/Tides of Ember/Tides \xf0\x9f\x94\xa5 of \xc3\x89mber \xe5\xad\xa3/ or die 'no name to change';
    spew("$scratch/season.json", $document);
    my ($id) = $document =~ /"season":\s*"([^"]+)"/;
    my %columns;
    for my $charset (qw(utf8mb4 latin1)) {
        my $name = new_database($charset);
        my ($status, $text) = migrate($name);
        is($status, 0, "$charset: migrated") or diag $text;
        ($status, $text) = daemon($name, '-t');
        is($status, 0, "$charset: the daemon can work with it") or diag $text;
        is((ctl($name, qw(season import), "$scratch/season.json"))[0], 0, "$charset: a season in all kinds of letters");
        is((ctl($name, qw(season publish), $id))[0], 0, "$charset: published");
        ($status, $text) = ctl($name, qw(season show), $id);
        ok($status == 0 && $text eq $document, "$charset: byte for byte what it was");
        $columns{$charset} = connect_to($name)->selectall_arrayref('SELECT table_name, column_name, character_set_name '
            . 'FROM information_schema.columns WHERE table_schema = ? ORDER BY 1, 2', undef, $name);
    }
    my @sets = map { my $of = $_; [ map { "$_->[0].$_->[1] " . ($_->[2] // '-') } @{ $columns{$of} } ] } qw(latin1 utf8mb4);
    is($sets[0], $sets[1], 'the same character sets');
};

subtest 'no server' => sub {
    my $name = new_database();
    my ($status, $text) = ctl($name, '-o', "store.socket=$scratch/none.sock", 'migrate', '--sql', "$source/sql");
    is($status, 1, 'refused');
    like($text, qr/^battlepassctl: migrate: cannot connect: 2002: .*none\.sock/m, 'with what is wrong');
};

done_testing;
