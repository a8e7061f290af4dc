#!/usr/bin/perl
# A revision of a season takes force at its moment: two daemons on one database and one Redis are read on every lane while two
# publishes follow one another. No answer begun after a moment is of an older revision, none ended before it of a newer one;
# nobody's XP goes back meanwhile, and no request loads the new document. What nobody has is cached, and gone with the first
# grant.
use Test2::V0 '!call';
use JSON::PP qw(encode_json);
use Time::HiRes qw(sleep time);
use lib 't/lib';
use Battlepass::Client;
use Battlepass::Stack;

use constant {
    READERS => 4,
    CLOCK_S => 0.002, # the service reads the clock to a millisecond
    LEAD_S => 2,
    KEEPERS => 2 * 3 + 1, # processes of a host that have a store: all but the read lane's and the steward
    SEEN_S => 1,      # a publish is in every host's directory by then
};

my $lanes = join '', map { "${_}_lane {\n\tprocesses = 2\n}\n" } qw(read store purchase admin);
my @hosts = map { Battlepass::Stack->new(config => $lanes) } 1, 2;
my $s = $hosts[0];

$hosts[1]->join_host($s);
for my $host (@hosts) {
    ok(await_cache($host), 'the cache is in use') or bail_out('reads never come from the cache');
    $host->token($_, "$_-1") for qw(server support); # minted once, before the children
}

# --- a season whose revision stands in its number of tiers and in its times ---

my $ends = int(time) + 90_000;
sub season_at {
    my ($revision) = @_;
    return small_season('switch', ends_at => iso_time($ends + $revision), tiers => [ map { { tier => $_, xp => 10 } } 1 .. 9 + $revision ]);
}

# What an answer of the season must hold at a revision.
sub definition_at {
    my ($revision) = @_;
    return [ "$revision", 9 + $revision, iso_time($ends + $revision) ];
}

# Imports and publishes as an operator does; the moment.
sub publish_at_its_moment {
    my ($revision) = @_;
    my $file = $s->dir . "/switch.$revision.json";
    open my $out, '>', $file or die "$file: $!";
    print {$out} encode_json(season_at($revision));
    close $out or die "$file: $!";
    my ($status, $text) = $s->ctl('season', 'import', $file);
    die "import: $text" if $status;
    ($status, $text) = $s->ctl('season', 'publish', 'switch');
    die "publish: $text" if $status || $text !~ /revision $revision is in force from \S+Z$/m;
    return $s->db->selectrow_array('SELECT in_force_at_ms FROM season WHERE season_id = ?', undef, 'switch') / 1000;
}

# --- the daemon's loads ---

sub loads {
    return map { my $metrics = $_->metrics; [ @$metrics{qw(battlepass_season_loads_total battlepass_season_loads_late_total)} ] } @hosts;
}

# Since then, every process has loaded so many definitions, and no request has waited for one.
sub loaded_ahead {
    my ($before, $definitions, $name) = @_;
    my @after = loads();
    my @grown = map { my $i = $_; [ map { $after[$i][$_] - $before->[$i][$_] } 0, 1 ] } 0 .. $#hosts;
    return is(\@grown, [ map { [ $definitions * KEEPERS, 0 ] } @hosts ], "$name: loaded once a process, and late by none");
}

# --- tests ---

my @before_all = loads();

subtest 'the first revision' => sub {
    my $moment = publish_at_its_moment(1);
    my $began = time;
    ok($moment - $began > SEEN_S && $moment - $began <= LEAD_S, 'its moment lies ahead') or diag($moment - $began);
    my (%early, %late, %never);
    for my $host ((0, 1) x 1000) {
        my $from = time;
        my $answer = api($hosts[$host], 'GET', '/v1/seasons/switch', { $hosts[$host]->as('server') });
        my $until = time;
        $early{$host}++ if $answer->{status} == 200 && $until < $moment - CLOCK_S;
        $late{$host}++ if $answer->{status} == 404 && $from > $moment + CLOCK_S;
        $never{$host}++ if $answer->{status} != 200 && $answer->{status} != 404;
        last if $from > $moment + 0.5;
        sleep 0.001;
    }
    ok(time > $moment + 0.5, 'looked at until it was long in force');
    is([ \%early, \%late, \%never ], [ {}, {}, {} ], 'seen from its moment on, by both hosts');
    loaded_ahead(\@before_all, 1, 'the first');
};

# Calls of every lane; what each answer says: [the definition's marks that it shows], by name of the call.
my %calls = (
    season => sub {
        my ($host) = @_;
        my $answer = api($host, 'GET', '/v1/seasons/switch', { $host->as('server') });
        my $json = $answer->{json};
        return ($answer, [ $json->{season_revision}, scalar @{ $json->{tiers} // [] }, $json->{ends_at} ]);
    },
    progress => sub {
        my ($host, $player) = @_;
        my $answer = progress($host, $player, season => 'switch');
        return ($answer, [ @{ $answer->{json} }{qw(season_revision tier_count)} ]);
    },
    support => sub {
        my ($host, $player) = @_;
        my $answer = api($host, 'GET', "/v1/admin/players/$player", { $host->as('support') });
        my ($json) = grep { $_->{season} eq 'switch' } @{ $answer->{json}{seasons} // [] };
        return ($answer, [ @{ $json // {} }{qw(season_revision tier_count)} ]);
    },
);

# Asks both hosts in turn until there has been a third revision for a while. [call, from, until, marks] of each answer, and
# what was wrong with a player's XP.
sub read_on {
    my ($number) = @_;
    my $player = "switch-$number";
    my ($xp, @answers, @wrong) = (0);
    my $give_up = time + 30;
    my $done;
    while (!defined $done || time < $done) {
        for my $host (@hosts) {
            my $granted = grant($host, $player, 1, season => 'switch');
            push @wrong, "grant $granted->{status}" if $granted->{status} != 201;
            $xp++;
            for my $name (sort keys %calls) {
                my $from = time;
                my ($answer, $marks) = $calls{$name}->($host, $player);
                push @answers, [ $name, $from, time, $marks ];
                push @wrong, "$name $answer->{status}" if $answer->{status} != 200;
                push @wrong, "xp $answer->{json}{xp}, not $xp" if $name eq 'progress' && $answer->{json}{xp} != $xp;
                $done //= time + 0.5 if ($marks->[0] // 0) == 3;
            }
        }
        die 'the third revision never came' if time > $give_up;
    }
    return (\@answers, [ splice @wrong, 0, 5 ]);
}

# The second begins as soon as the command of the first has ended. [began, ended, moment] of each.
sub publish_twice {
    sleep 0.5;
    my @moments;
    for my $revision (2, 3) {
        my $began = time;
        my $moment = publish_at_its_moment($revision);
        push @moments, [ $began, time, $moment ];
    }
    return @moments;
}

# Whether the answer's marks are those of a revision that was in force at some time between its begin and its end.
sub fits {
    my ($answer, @moments) = @_;
    my (undef, $from, $until, $marks) = @$answer;
    for my $revision (1 .. @moments) {
        next if $until < $moments[$revision - 1] - CLOCK_S;
        next if $revision < @moments && $from > $moments[$revision] + CLOCK_S;
        my $want = definition_at($revision);
        return 1 if "@$marks" eq "@$want[0 .. $#$marks]";
    }
    return 0;
}

subtest 'two publishes under readers and writers' => sub {
    my @before = loads();
    my ($publisher, @readers) = $s->in_parallel(1 + READERS, sub {
        my ($number) = @_;
        return $number ? [ read_on($number) ] : [ publish_twice() ];
    });
    my @moments = (0, map { $_->[2] } @$publisher);
    note(sprintf 'published in %.0f and %.0f ms', map { 1000 * ($_->[1] - $_->[0]) } @$publisher);
    ok($moments[2] - $moments[1] >= LEAD_S, 'the second is in force later than the first');
    ok($_->[2] - $_->[1] > SEEN_S, 'told of ahead') for @$publisher;
    my @answers = map { @{ $_->[0] } } @readers;
    my %count;
    $count{ $_->[0] }{ $_->[3][0] // 'none' }++ for @answers;
    is(\%count, { map { $_ => { 1 => T, 2 => T, 3 => T } } keys %calls }, 'each call has seen each revision');
    note(join ', ', map { my $name = $_; map { "$name at $_: $count{$name}{$_}" } sort keys %{ $count{$name} } } sort keys %count);
    my @misfits = grep { !fits($_, @moments) } @answers;
    is([ map { my $answer = $_; sprintf '%s from %.4f until %.4f: %s', $answer->[0], $answer->[1], $answer->[2], encode_json($answer->[3]) } grep { $_ } @misfits[0 .. 4] ],
        [], 'every answer is of the revision that was in force');
    is([ map { @{ $_->[1] } } @readers ], [], 'and every grant was seen');
    loaded_ahead(\@before, 2, 'both');
};

subtest 'a player without progress' => sub {
    for my $i (0, 1) {
        my $player = $s->fresh_player;
        my ($here, $there) = @hosts[ $i, 1 - $i ];
        my $first = progress($here, $player, season => 'switch');
        is([ $first->{status}, timing($first), @{ $first->{json} }{qw(xp revision)} ], [ 200, 'store', 0, '0' ], 'the database knows nothing');
        my $again = $s->wait_until(2, sub { my $answer = progress($there, $player, season => 'switch'); return from_cache($answer) && $answer });
        is($again && $again->{body}, $first->{body}, 'the cache knows that, and on the other host');
        is([ $s->db->selectrow_array('SELECT COUNT(*) FROM progress WHERE player_id = ?', undef, $player) ], [0], 'no row was made');
        is(grant($there, $player, 15, season => 'switch')->{status}, 201, 'the first grant');
        my $after = progress($here, $player, season => 'switch');
        is([ @{ $after->{json} }{qw(xp revision tier)} ], [ 15, '1', 1 ], 'is seen by the next read, on the other host');
        ok(from_cache($after), 'from the cache, which it has warmed');
    }
};

done_testing;
