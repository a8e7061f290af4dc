#!/usr/bin/perl
# Many at once: nothing is doubled, nothing is lost, nobody gets a deadlock, and no reader sees what was before an acknowledged write.
use Test2::V0 '!call';
use lib 't/lib';
use Battlepass::Client;
use Battlepass::Stack;
use Time::HiRes qw(sleep time);

my $s = Battlepass::Stack->shared;
my $season = $s->season;
my $base = "/v1/seasons/$season";
my @thresholds = do { my $sum = 0; map { $sum += $_->{xp} } @{ season_document()->{tiers} } };
my $seed = $ENV{T2_RAND_SEED} // time;
note("seed $seed");

ok(await_cache($s), 'the cache is in use') or bail_out('reads never come from the cache');
$s->token($_, $_ . '-1') for qw(server viewer); # minted once, before the children

sub tier_of {
    my ($xp) = @_;
    return scalar grep { $_ <= $xp } @thresholds;
}

sub grant_text {
    my ($player, $key, $amount) = @_;
    my %headers = ($s->as('server'), 'Idempotency-Key' => $key, 'Content-Type' => 'application/json', Connection => 'close');
    return http_text('POST', "$base/players/$player/xp-grants", \%headers, "{\"amount\":$amount,\"source\":\"match\"}");
}

# What must hold for a player after any race: answers is every grant that was acknowledged (replays left out).
sub consistent {
    my ($player, $answers, $name) = @_;
    my $sum = 0;
    $sum += $_->{amount} for @$answers;
    my @ordered = sort { $a->{revision} <=> $b->{revision} } @$answers;
    my $ok = is([ map { $_->{revision} } @ordered ], [ 1 .. @ordered ], "$name: each revision once");
    my $xp = 0;
    my @chain = grep { my $fits = $_->{xp_before} == $xp && $_->{xp_after} == $xp + $_->{amount}; $xp = $_->{xp_after}; !$fits } @ordered;
    $ok &&= is(\@chain, [], "$name: each grant begins where the one before ended");
    $ok &&= is([ map { map { $_->{tier} } @{ $_->{tiers} } } @ordered ], [ 1 .. tier_of($sum) ], "$name: every tier is reported once");
    my $json = progress($s, $player)->{json};
    $ok &&= is([ @$json{qw(xp revision tier)} ], [ $sum, '' . @ordered, tier_of($sum) ], "$name: progress");
    my $ledger = ledger($s, $player);
    $ok &&= is([ sort map { $_->{grant} } @$ledger ], [ sort map { $_->{grant} } @ordered ], "$name: the ledger");
    $ok &&= is([ map { $_->{revision} } @$ledger ], [ reverse 1 .. @ordered ], "$name: in order");
    return $ok;
}

subtest 'a thousand copies of one grant at the same moment' => sub {
    my ($player, $key) = ($s->fresh_player, fresh_key());
    my @answers = burst($s, [ (grant_text($player, $key, 2500)) x 1000 ]);
    my @good = grep { $_ && $_->{status} == 201 } @answers;
    is(scalar @good, 1000, 'a thousand answers') or diag(join "\n", map { $_ ? "$_->{status} $_->{body}" : 'none' } (grep { !$_ || $_->{status} != 201 } @answers)[0 .. 2]);
    my %bodies;
    $bodies{ $_->{body} }++ for @good;
    is([ values %bodies ], [1000], 'that are equal');
    is(scalar(grep { !defined $_->{headers}{'idempotent-replayed'} } @good), 1, 'one of them is no replay');
    my ($rows) = $s->db->selectrow_array('SELECT COUNT(*) FROM xp_grant WHERE player_id = ?', undef, $player);
    is($rows, 1, 'one row in the ledger');
    consistent($player, [ $good[0]{json} ], 'after it');
};

subtest 'a thousand copies, half of them with another body' => sub {
    my ($player, $key) = ($s->fresh_player, fresh_key());
    my @answers = burst($s, [ map { grant_text($player, $key, $_ % 2 ? 100 : 200) } 1 .. 1000 ]);
    my @good = grep { $_ && $_->{status} == 201 } @answers;
    my @refused = grep { $_ && $_->{status} == 422 && $_->{json}{code} eq 'idempotency_key_reused' } @answers;
    is([ scalar @good, scalar @refused ], [500, 500], 'half are granted, half refused');
    my %bodies = map { $_->{body} => 1 } @good;
    is(scalar keys %bodies, 1, 'by the same answer');
    consistent($player, [ $good[0]{json} ], 'after it');
};

subtest 'a thousand grants to one player at the same moment' => sub {
    my $player = $s->fresh_player;
    my @answers = burst($s, [ map { grant_text($player, fresh_key(), 1 + $_ % 17) } 1 .. 1000 ]);
    is([ map { $_ ? "$_->{status} $_->{body}" : 'none' } grep { !$_ || $_->{status} != 201 } @answers ], [], 'all are granted');
    consistent($player, [ map { $_->{json} } grep { $_ && $_->{status} == 201 } @answers ], 'one player');
};

subtest 'clients race on a few players, singly and in batches' => sub {
    my @players = map { $s->fresh_player } 1 .. 7;
    my $retries = $s->metrics->{battlepass_store_retries_total};
    my @results = $s->in_parallel(12, sub {
        my ($number) = @_;
        srand $seed + $number;
        my (@granted, @bad);
        for my $round (1 .. 25) {
            if ($number % 2) {
                my $answer = grant($s, $players[rand @players], 1 + int rand 90);
                push @{ $answer->{status} == 201 ? \@granted : \@bad }, $answer->{json};
            } else {
                # Every batch in an order of its own: what deadlocks if rows are not locked in one order.
                my @entries = map { { player => $players[rand @players], amount => 1 + int rand 90, source => 'b', idempotency_key => fresh_key() } } 1 .. 30;
                my $answer = batch($s, \@entries);
                push @bad, $answer->{json} if $answer->{status} != 200;
                push @{ $_->{status} eq 'granted' ? \@granted : \@bad }, $_ for @{ $answer->{json}{results} // [] };
                my $again = batch($s, \@entries);
                push @bad, grep { $_->{status} ne 'replayed' } @{ $again->{json}{results} // [ $again->{json} ] } if $round % 5 == 0;
            }
        }
        return (\@granted, \@bad);
    });
    my (@granted, @bad);
    while (my ($good, $bad) = splice @results, 0, 2) {
        push @granted, @$good;
        push @bad, @$bad;
    }
    is(\@bad, [], 'nobody is refused');
    is(scalar @granted, 6 * 25 + 6 * 25 * 30, 'every grant is acknowledged');
    for my $player (@players) {
        consistent($player, [ grep { $_->{player} eq $player } @granted ], $player);
    }
    note('transactions tried again: ' . ($s->metrics->{battlepass_store_retries_total} - $retries));
};

subtest 'the same keys in batches and singly at the same time' => sub {
    my @players = map { $s->fresh_player } 1 .. 5;
    my @entries = map { { player => $players[$_ % 5], amount => 10 + $_ % 7, source => 'match', idempotency_key => "same-$$-$_" } } 1 .. 40;
    my @results = $s->in_parallel(10, sub {
        my ($number) = @_;
        srand $seed + 100 + $number;
        my @order = sort { rand() <=> 0.5 } @entries;
        return [ map { [ $_->{idempotency_key}, $_->{grant}, $_->{revision}, $_->{status} ] } @{ batch($s, \@order)->{json}{results} } ] if $number % 2;
        return [ map {
            my $answer = grant($s, $_->{player}, $_->{amount}, key => $_->{idempotency_key});
            [ $_->{idempotency_key}, $answer->{json}{grant}, $answer->{json}{revision}, $answer->{headers}{'idempotent-replayed'} ? 'replayed' : $answer->{status} == 201 ? 'granted' : $answer->{status} ]
        } @order ];
    });
    my (%grants, %statuses);
    for my $result (@results) {
        for my $one (@$result) {
            $grants{ $one->[0] }{"$one->[1] $one->[2]"} = 1;
            $statuses{ $one->[3] }++;
        }
    }
    is([ map { scalar keys %{ $grants{$_} } } sort keys %grants ], [ (1) x 40 ], 'each key has one grant, whoever asked');
    is(\%statuses, { granted => 40, replayed => 360 }, 'and it was made once');
    consistent($_, [ reverse @{ ledger($s, $_) } ], $_) for @players;
};

# A writer that tells by a pipe what was acknowledged, readers that note what they see; what a reader sees must be at least what had
# been acknowledged when it asked. How many reads came from the cache, and the stale ones.
sub race {
    my ($name, %options) = @_;
    my $count = $options{players} // 25;
    my @players = map { $s->fresh_player } 1 .. $count;
    # Acknowledged revisions in memory that all processes share: one 8-byte number a player.
    my $file = ($s->{scratch} // $s->dir) . "/race-$$";
    open my $shared, '+>', $file or die "$file: $!";
    unlink $file;
    syswrite $shared, "\0" x (8 * $count);
    my $write_to = sub {
        open my $own, '+<', "/proc/$$/fd/" . fileno $shared or die "race: $!";
        return $own;
    };
    my $acknowledged = sub { my ($own, $i) = @_; sysseek $own, 8 * $i, 0; sysread $own, my $bytes, 8; return unpack 'Q', $bytes };
    my $deadline = time + ($options{seconds} // 5);
    my @results = $s->in_parallel(6 + ($options{breaker} ? 1 : 0), sub {
        my ($number) = @_;
        srand $seed + 1000 + $number;
        my $own = $write_to->();
        my ($reads, $hits, $writes, @stale, @bad) = (0, 0, 0);
        if ($number == 6) {
            $options{breaker}->(\@players, $deadline);
        } elsif ($number < 2) {
            # Two writers, each with players of its own: so that the revision acknowledged last is the highest.
            while (time < $deadline) {
                my $i = 2 * int(rand $count / 2) + $number;
                next if $i >= $count;
                my $answer = rand() < 0.8 ? grant($s, $players[$i], 7)
                    : batch($s, [ { player => $players[$i], amount => 7, source => 'm', idempotency_key => fresh_key() } ]);
                my $json = $answer->{json}{results} ? $answer->{json}{results}[0] : $answer->{json};
                if ($json->{revision}) {
                    sysseek $own, 8 * $i, 0;
                    syswrite $own, pack 'Q', $json->{revision};
                    $writes++;
                } else {
                    push @bad, $answer->{body};
                }
                sleep rand 0.004 if rand() < 0.5;
            }
        } else {
            my %seen;
            while (time < $deadline) {
                my $i = int rand $count;
                my $least = $acknowledged->($own, $i);
                $least = $seen{$i} if ($seen{$i} // 0) > $least;
                my $answer = rand() < 0.9 ? progress($s, $players[$i])
                    : api($s, 'POST', "$base/progress:lookup", { $s->as('server') }, { players => [ $players[$i] ] });
                my $json = $answer->{json}{results} ? $answer->{json}{results}[0] : $answer->{json};
                push @bad, $answer->{body} and next if $answer->{status} != 200 || !defined $json->{revision};
                $reads++;
                $hits++ if from_cache($answer);
                push @stale, "$players[$i]: $json->{revision} after $least, " . (timing($answer) // 'lookup') if $json->{revision} < $least;
                push @stale, "$players[$i]: $json->{xp} XP at revision $json->{revision}" if $json->{xp} != 7 * $json->{revision};
                $seen{$i} = $json->{revision};
                sleep rand 0.003 if rand() < 0.3;
            }
        }
        return { reads => $reads, hits => $hits, writes => $writes, stale => \@stale, bad => \@bad };
    });
    my %sum;
    for my $result (@results) {
        $sum{$_} += $result->{$_} for qw(reads hits writes);
    }
    is([ map { @{ $_->{stale} } } @results ], [], "$name: no stale read");
    is([ map { @{ $_->{bad} } } @results ], [], "$name: no request failed");
    ok($sum{reads} > 200 && $sum{writes} > 50, "$name: there was a race") or diag("$sum{reads} reads, $sum{writes} writes");
    ok($sum{hits} > $sum{reads} / 10, "$name: in which the cache took part") or diag("$sum{hits} hits of $sum{reads}");
    note("$sum{reads} reads, $sum{hits} hits, $sum{writes} writes");
    # What lies in the cache now is what stands in the database.
    my $own = $write_to->();
    for my $i (0 .. $#players) {
        my $revision = $acknowledged->($own, $i);
        my @answers = map { progress($s, $players[$i]) } 1 .. 3;
        my @got = map { $_->{json}{revision} } @answers;
        is(\@got, [ ($revision) x 3 ], "$name: $players[$i] in the end") if "@got" ne "$revision $revision $revision" || $i == $#players;
    }
    return;
}

subtest 'readers race writers' => sub {
    race('plain');
};

subtest 'readers race writers on very few players' => sub {
    race('few', players => 3, seconds => 4);
};

subtest 'readers race writers while keys vanish from Redis' => sub {
    race('vanishing', players => 8, breaker => sub {
        my ($players, $deadline) = @_;
        while (time < $deadline) {
            my $key = cache_key($s, $players->[rand @$players]);
            my $dice = rand;
            if ($dice < 0.7) { $s->redis(DEL => $key) }
            elsif ($dice < 0.9) { $s->redis(PEXPIRE => $key, 1 + int rand 3) }
            else { $s->redis('FLUSHALL') }
            sleep rand 0.003;
        }
    });
};

subtest 'a reader alone never caches what was before' => sub {
    # The narrow window: the key is gone, a reader misses and reads the database while a write commits.
    my $bad = 0;
    for my $round (1 .. 60) {
        my $player = $s->fresh_player;
        grant($s, $player, 5);
        my $key = cache_key($s, $player);
        my @texts = ((map { http_text('GET', "$base/players/$player/progress", { $s->as('server'), Connection => 'close' }) } 1 .. 6), grant_text($player, fresh_key(), 5),
            map { http_text('GET', "$base/players/$player/progress", { $s->as('server'), Connection => 'close' }) } 1 .. 6);
        $s->redis(DEL => $key);
        my @answers = burst($s, \@texts);
        is($answers[6]{status}, 201, "round $round: granted") if !$answers[6] || $answers[6]{status} != 201;
        my @after = map { progress($s, $player)->{json}{xp} } 1 .. 3;
        $bad++ if grep { $_ != 10 } @after;
    }
    is($bad, 0, 'in 60 races nothing old stayed');
};

is($s->server_errors, 0, 'no answer of 500 or more') if !$ENV{BATTLEPASS_ENV};

done_testing;
