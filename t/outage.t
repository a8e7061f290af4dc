#!/usr/bin/perl
# Servers that die and come back, on a stack of its own: without Redis all calls go on and nothing old is read, whatever Redis remembers
# when it is back; without the database the service says so and recovers by itself; a connection lost in the middle of a grant neither
# loses nor doubles it.
use Test2::V0 '!call';
use lib 't/lib';
use Battlepass::Client;
use Battlepass::Stack;
use File::Copy qw(copy);
use Time::HiRes qw(sleep time);

my $s = Battlepass::Stack->new;
my $season = $s->season;
my $base = "/v1/seasons/$season";
$s->as($_) for qw(server viewer);

sub epoch {
    return [ $s->db->selectrow_array('SELECT epoch FROM cache_control') ]->[0];
}

sub timed {
    my ($code) = @_;
    my $begin = time;
    my $answer = $code->();
    return ($answer, time - $begin);
}

# Players with XP, each read often enough to be cached; player => xp.
sub cached_players {
    my ($count) = @_;
    my %players = map { $s->fresh_player => 10 * $_ } 1 .. $count;
    for my $player (keys %players) {
        grant($s, $player, $players{$player});
        progress($s, $player);
    }
    return \%players;
}

# After each time that Redis was lost the steward waits twice as long before it trusts Redis again; a fresh one begins anew.
sub fresh_daemon {
    $s->restart('battlepassd');
    return await_cache($s);
}

sub all_true {
    my ($players, $name) = @_;
    my @wrong;
    for my $player (sort keys %$players) {
        my $answer = progress($s, $player);
        push @wrong, "$player: $answer->{status} " . ($answer->{json}{xp} // '') . " instead of $players->{$player}, by " . (timing($answer) // '?') . ' ' . ($answer->{headers}{'cache-status'} // 'confirmed')
            if $answer->{status} != 200 || $answer->{json}{xp} != $players->{$player};
    }
    return is(\@wrong, [], "$name: everybody's XP is true");
}

ok(await_cache($s), 'the cache is in use') or bail_out('reads never come from the cache');

subtest 'Redis is killed' => sub {
    my $players = cached_players(20);
    my $epoch = epoch();
    $s->kill('redis');
    all_true($players, 'read without Redis');
    my ($first, $seconds) = timed(sub { grant($s, (sort keys %$players)[0], 5) });
    is($first->{status}, 201, 'the first write goes on') or diag($first->{body});
    ok($seconds < 2, 'and pays the wait for the leases once') or diag(sprintf '%.2f s', $seconds);
    note(sprintf 'first write after %.0f ms', 1000 * $seconds);
    $players->{ (sort keys %$players)[0] } += 5;
    my $slowest = 0;
    for my $player (sort keys %$players) {
        my ($answer, $took) = timed(sub { grant($s, $player, 5) });
        is($answer->{status}, 201, 'a later write') if $answer->{status} != 201;
        $slowest = $took if $took > $slowest;
        $players->{$player} += 5;
    }
    ok($slowest < 0.5, 'later writes wait for nothing') or diag(sprintf '%.2f s', $slowest);
    is(statuses(batch($s, [ map { { player => $_, amount => 1, source => 'm', idempotency_key => fresh_key() } } sort keys %$players ])), { granted => 20 }, 'a batch');
    $players->{$_}++ for keys %$players;
    all_true($players, 'written without Redis');
    my ($answer, $read) = timed(sub { progress($s, (sort keys %$players)[0]) });
    is(timing($answer), 'store', 'reads come from the store');
    ok($read < 0.25, 'in good time') or diag(sprintf '%.2f s', $read);
    $s->start('redis');
    all_true($players, 'Redis is back');
    ok(await_cache($s, 8), 'the cache comes back');
    cmp_ok(epoch(), '>', $epoch, 'in another epoch');
    all_true($players, 'the cache is back');
    all_true($players, 'and again');
    ok(from_cache(progress($s, (sort keys %$players)[0])), 'from the cache');
};

# The first writes of the outage wait until no lease is alive. More of them than there are processes of the store lane, and
# reads, which now all need the database, must not wait with them.
subtest 'reads do not wait for writes' => sub {
    fresh_daemon();
    my $players = cached_players(20);
    my @players = sort keys %$players;
    $s->token(player => $_) for @players;
    $s->kill('redis');
    my $begin = time;
    my @told = $s->in_parallel(20, sub {
        my ($number) = @_;
        my $player = $players[$number];
        if ($number < 16) {
            my ($answer, $took) = timed(sub { grant($s, $player, 5) });
            return { write => 1, status => $answer->{status}, took => $took };
        }
        sleep 0.1;
        my @reads;
        while (time < $begin + 0.5) {
            my ($answer, $took) = timed(sub { progress($s, $player) });
            push @reads, { status => $answer->{status}, took => $took };
        }
        return @reads;
    });
    my @writes = grep { $_->{write} } @told;
    my @reads = grep { !$_->{write} } @told;
    is([ grep { $_->{status} != 201 } @writes ], [], 'all writes go on');
    my ($longest) = sort { $b <=> $a } map { $_->{took} } @writes;
    cmp_ok($longest, '>', 0.4, 'having waited');
    is([ grep { $_->{status} != 200 } @reads ], [], 'all reads are answered');
    my @took = sort { $a <=> $b } map { $_->{took} } @reads;
    cmp_ok($took[ @took / 2 ], '<', 0.2, 'without waiting') or diag(join ' ', map { sprintf '%.3f', $_ } @took);
    cmp_ok(scalar @took, '>', 8, 'and many of them');
    $players->{$_} += 5 for @players[ 0 .. 15 ];
    all_true($players, 'afterwards');
    $s->start('redis');
    ok(await_cache($s, 8), 'the cache comes back');
    all_true($players, 'with it');
};

subtest 'Redis hangs' => sub {
    my $players = cached_players(10);
    CORE::kill('STOP', $s->pid('redis'));
    my ($answer, $seconds) = timed(sub { progress($s, (sort keys %$players)[0]) });
    is([ $answer->{status}, $answer->{json}{xp} ], [ 200, $players->{ (sort keys %$players)[0] } ], 'a read');
    ok($seconds < 1, 'does not wait for it') or diag(sprintf '%.2f s', $seconds);
    for my $player (sort keys %$players) {
        my $granted = grant($s, $player, 3);
        is($granted->{status}, 201, 'a write') or diag($granted->{body});
        $players->{$player} += 3;
    }
    all_true($players, 'while it hangs');
    CORE::kill('CONT', $s->pid('redis'));
    all_true($players, 'when it goes on');
    ok(await_cache($s, 8), 'the cache comes back');
    all_true($players, 'with it');
};

subtest 'Redis is restarted empty' => sub {
    fresh_daemon();
    my $players = cached_players(20);
    my $epoch = epoch();
    $s->kill('redis');
    $s->start('redis');
    for my $round (1 .. 3) {
        all_true($players, "round $round");
        for my $player (sort keys %$players) {
            is(grant($s, $player, 1)->{status}, 201, 'granted') or last;
            $players->{$player}++;
        }
        all_true($players, "round $round, written");
        sleep 0.3;
    }
    ok(await_cache($s, 8), 'the cache comes back');
    cmp_ok(epoch(), '>', $epoch, 'in another epoch');
    all_true($players, 'in the end');
};

# What Redis held is saved, written past, and put back: as a restart from an old snapshot does, or a failover to a replica that lagged.
sub with_old_data {
    my ($name, %options) = @_;
    fresh_daemon();
    my $players = cached_players(20);
    my $dir = $s->dir . '/redis';
    $s->redis('SAVE');
    copy("$dir/dump.rdb", "$dir/old.rdb") or die "dump.rdb: $!";
    my $old_keys = $s->redis('DBSIZE');
    for my $player (sort keys %$players) {
        grant($s, $player, 7);
        $players->{$player} += 7;
    }
    $s->kill('redis');
    if ($options{written_without}) {
        for my $player (sort keys %$players) {
            is(grant($s, $player, 9)->{status}, 201, 'granted without Redis') or last;
            $players->{$player} += 9;
        }
    }
    copy("$dir/old.rdb", "$dir/dump.rdb") or die "old.rdb: $!";
    $s->start('redis');
    cmp_ok($s->redis('DBSIZE'), '>=', $old_keys, "$name: Redis has its old data");
    my $until = time + 1.5;
    my $round = 0;
    while (time < $until) {
        $round++;
        all_true($players, "$name, round $round") or last;
        if ($round % 3 == 0) {
            my $player = (sort keys %$players)[rand 20];
            $players->{$player} += 2 if is(grant($s, $player, 2)->{status}, 201, "$name: granted");
        }
    }
    ok(await_cache($s, 8), "$name: the cache comes back");
    all_true($players, "$name, in the end") for 1 .. 2;
    unlink "$dir/old.rdb", "$dir/dump.rdb";
    return;
}

subtest 'Redis comes back with old data' => sub {
    with_old_data('at once');
};

subtest 'Redis comes back with old data, after writes without it' => sub {
    with_old_data('later', written_without => 1);
};

subtest 'Redis dies again and again under load' => sub {
    fresh_daemon();
    my $players = cached_players(12);
    my @names = sort keys %$players;
    my $deadline = time + 5;
    my @results = $s->in_parallel(5, sub {
        my ($number) = @_;
        if ($number == 0) {
            while (time < $deadline - 1) {
                $s->kill('redis');
                sleep rand 0.5;
                $s->start('redis');
                sleep 0.3 + rand 1.5;
            }
            return {};
        }
        my (%added, @bad);
        my %xp = map { $_ => $players->{$_} } @names;
        while (time < $deadline) {
            # Each child has players of its own, so that it knows the truth.
            my $player = $names[4 * int(rand 3) + $number - 1];
            if (rand() < 0.4) {
                my $answer = grant($s, $player, 1);
                if ($answer->{status} == 201) { $xp{$player}++ }
                else { push @bad, "grant: $answer->{status} $answer->{body}" }
            }
            my $answer = progress($s, $player);
            push @bad, "$player: $answer->{status} " . ($answer->{json}{xp} // '') . " instead of $xp{$player}, by " . (timing($answer) // '?')
                if $answer->{status} != 200 || $answer->{json}{xp} != $xp{$player};
        }
        return { xp => \%xp, bad => \@bad, number => $number };
    });
    is([ map { @{ $_->{bad} // [] } } @results ], [], 'no request failed, no stale read');
    for my $i (0 .. 11) {
        $players->{ $names[$i] } = $results[1 + $i % 4]{xp}{ $names[$i] };
    }
    $s->start('redis');
    my ($back, $seconds) = timed(sub { await_cache($s, 30) });
    ok($back && $seconds < 20, 'the cache comes back') or diag(sprintf 'after %.1f s', $seconds);
    note(sprintf 'the cache is back after %.1f s', $seconds);
    all_true($players, 'in the end') for 1 .. 2;
};

subtest 'the database is killed' => sub {
    fresh_daemon();
    my $players = cached_players(5);
    my @names = sort keys %$players;
    my $known = fresh_key();
    my $first = grant($s, $names[0], 50, key => $known);
    $players->{ $names[0] } += 50;
    $s->kill('mariadb');
    my $key = fresh_key();
    for my $round (1 .. 3) {
        my ($answer, $seconds) = timed(sub { grant($s, $names[1], 5, key => $key) });
        is_problem($answer, 503, 'store_unavailable', "grant $round");
        like($answer->{headers}{'retry-after'}, qr/^[1-9]\d*$/, "grant $round: Retry-After");
        ok($seconds < 6, "grant $round: in time") or diag(sprintf '%.1f s', $seconds);
    }
    my $answer = grant($s, $names[0], 50, key => $known);
    is_problem($answer, 503, 'store_unavailable', 'a replay cannot be proven');
    my $batch = batch($s, [ { player => $names[2], amount => 5, source => 'm', idempotency_key => $key } ]);
    if ($batch->{status} == 200) {
        is([ @{ $batch->{json}{results}[0] }{qw(status code)} ], [ 'rejected', 'store_unavailable' ], 'a batch');
    } else {
        is_problem($batch, 503, 'store_unavailable', 'a batch');
    }
    is_problem(api($s, 'GET', "$base/players/$names[0]/xp-grants", { $s->as('server') }), 503, 'store_unavailable', 'the ledger');
    my $unknown = progress($s, $s->fresh_player);
    is_problem($unknown, 503, 'store_unavailable', 'progress of who is not cached');
    like($unknown->{headers}{'retry-after'}, qr/^[1-9]\d*$/, 'with Retry-After');
    # The default is to serve what is cached, and to say that it is not confirmed as soon as the lease has run out.
    my ($marked, @wrong);
    $s->wait_until(2, sub {
        my $hit = progress($s, $names[3]);
        push @wrong, "$hit->{status} $hit->{body}" if $hit->{status} != 200 || $hit->{json}{xp} != $players->{ $names[3] };
        return $marked = ($hit->{headers}{'cache-status'} // '') eq 'battlepass; hit; detail=unconfirmed';
    });
    is(\@wrong, [], 'a hit is served');
    ok($marked, 'and marked');
    my $lookup = api($s, 'POST', "$base/progress:lookup", { $s->as('server') }, { players => [ $names[3], $s->fresh_player ] });
    is($lookup->{headers}{'cache-status'}, 'battlepass; hit; detail=unconfirmed', 'and so is a lookup with a hit in it') or diag($lookup->{body});
    is($s->get_internal('/readyz')->{status}, 503, 'not ready');
    is($s->get('/livez')->{status}, 200, 'alive');
    my $told = $s->metrics;
    is($told->{battlepass_store_up}, 0, 'metrics say that the database is away');
    cmp_ok($told->{battlepass_cache_hits_unconfirmed_total}, '>=', 2, 'and count what is not confirmed');
    $s->start('mariadb');
    delete $s->{fingerprint_db};
    my $back;
    ok($s->wait_until(10, sub { $back = grant($s, $names[1], 5, key => $key); return $back->{status} == 201 }), 'it recovers by itself') or diag($back->{body});
    $players->{ $names[1] } += 5;
    # A write needs no lease, so it may be back before the steward is: until then a hit may be of before, if it says so.
    my $first_read = progress($s, $names[1]);
    ok($first_read->{json}{xp} == $players->{ $names[1] } || ($first_read->{headers}{'cache-status'} // '') =~ /unconfirmed/,
        'what was granted is read, or the answer is not confirmed') or diag("$first_read->{body} " . ($first_read->{headers}{'cache-status'} // 'confirmed'));
    is(grant($s, $names[0], 50, key => $known)->{body}, $first->{body}, 'a replay is what it was');
    is($s->wait_until(5, sub { $s->get_internal('/readyz')->{status} == 200 }), T, 'ready again');
    ok($s->wait_until(2, sub { !defined progress($s, $names[3])->{headers}{'cache-status'} }), 'hits are no more marked');
    is($s->metrics->{battlepass_store_up}, 1, 'the database is there');
    all_true($players, 'after it');
    is(scalar @{ ledger($s, $names[1]) }, 2, 'the grant that was tried so often is there once');
    ok(await_cache($s, 10), 'the cache is in use again');
};

# Grants from several clients, each repeated with its key until it is acknowledged, while breaker does its worst.
sub under_fire {
    my ($name, $breaker, $seconds) = @_;
    fresh_daemon();
    my @players = map { $s->fresh_player } 1 .. 6;
    my $deadline = time + $seconds;
    my @results = $s->in_parallel(9, sub {
        my ($number) = @_;
        if ($number == 0) {
            $breaker->($deadline);
            return {};
        }
        my (%acknowledged, %statuses);
        while (time < $deadline) {
            my $player = $players[rand @players];
            my $key = fresh_key() . "-$number";
            for my $try (1 .. 100) {
                my $answer = $number % 3 ? grant($s, $player, 3, key => $key)
                    : batch($s, [ { player => $player, amount => 3, source => 'match', idempotency_key => $key } ]);
                my $json = $answer->{json}{results} ? $answer->{json}{results}[0] : $answer->{json};
                my $status = $json->{grant} ? 'acknowledged' : $json->{code} // $answer->{status};
                $statuses{$status}++;
                if ($status eq 'acknowledged') {
                    $acknowledged{$key} = [ $player, $json->{grant}, $json->{revision} ];
                    last;
                }
                last if $status !~ /^(store_unavailable|overloaded)$/;
                sleep 0.05;
            }
        }
        return { acknowledged => \%acknowledged, statuses => \%statuses };
    });
    my (%acknowledged, %statuses);
    for my $result (@results) {
        %acknowledged = (%acknowledged, %{ $result->{acknowledged} // {} });
        $statuses{$_} += $result->{statuses}{$_} for keys %{ $result->{statuses} // {} };
    }
    note("$name: " . join ', ', map { "$_ $statuses{$_}" } sort keys %statuses);
    is([ grep { !/^(acknowledged|store_unavailable|overloaded)$/ } sort keys %statuses ], [], "$name: acknowledged, or told to try again");
    cmp_ok(scalar keys %acknowledged, '>', 20, "$name: there was a load");
    for my $player (@players) {
        my %mine = map { $_ => $acknowledged{$_} } grep { $acknowledged{$_}[0] eq $player } keys %acknowledged;
        my $ledger = ledger($s, $player);
        is({ map { $_->{idempotency_key} => [ $player, $_->{grant}, $_->{revision} ] } @$ledger }, \%mine, "$name, $player: what was acknowledged is there once");
        is([ sort { $a <=> $b } map { $_->{revision} } @$ledger ], [ 1 .. @$ledger ], "$name, $player: each revision once");
        is([ map { progress($s, $player)->{json}{xp} } 1 .. 2 ], [ (3 * @$ledger) x 2 ], "$name, $player: and its sum");
    }
    return;
}

subtest 'the writers\' connections are killed under load' => sub {
    under_fire('connections', sub {
        my ($deadline) = @_;
        my $db = $s->db;
        my $killed = 0;
        while (time < $deadline - 0.5) {
            for my $row (@{ $db->selectall_arrayref('SELECT ID FROM information_schema.PROCESSLIST WHERE USER = ?', undef, 'battlepass') }) {
                $killed++ if rand() < 0.4 && eval { $db->do("KILL CONNECTION $row->[0]"); 1 };
            }
            sleep 0.02 + rand 0.1;
        }
        return;
    }, 4);
};

subtest 'the database is killed under load' => sub {
    under_fire('database', sub {
        sleep 1;
        $s->kill('mariadb');
        sleep 0.3;
        $s->start('mariadb');
        return;
    }, 4);
};

subtest 'a writer is killed under load' => sub {
    my $workers = $s->workers;
    under_fire('writer', sub {
        my ($deadline) = @_;
        while (time < $deadline - 0.5) {
            my @pids = keys %{ $s->workers };
            CORE::kill('KILL', $pids[rand @pids]) if @pids;
            sleep 0.4;
        }
        return;
    }, 4);
    ok($s->wait_until(10, sub { keys %{ $s->workers } >= keys %$workers }), 'all processes are replaced');
    ok(await_cache($s, 10), 'and the cache is in use');
};

done_testing;
